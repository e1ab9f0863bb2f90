# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of this Mac's ports, as its own programs show it, and the programs that change it."""

from __future__ import annotations

import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.network.port_setup import DHCP, MANUAL, OFF, OTHER

_NUMBERED = re.compile(r"\((\d+|\*)\) (.+)")
_DEVICE = re.compile(r"\(Hardware Port: (.*), Device: (.*)\)")


def run(agent, argv):
    """Run a program; return (its output, the reason of a failure or an empty text)."""
    status, text = machine.run_shipped(agent.run, argv)
    # networksetup tells some errors on standard output and returns 0.
    return text, machine.reason(argv, status, text) if status or "** Error" in text else ""


def read_port(agent, name, own=()):
    """Return the state of an interface; see `port_setup`. One that is not there has no addresses.

    Args:
        own: names of services, of which one goes before others of the port.
    """
    ports = parse_ports(_output(agent, ["networksetup", "-listallhardwareports"]))
    services = parse_services(_output(agent, ["networksetup", "-listnetworkserviceorder"]))
    blocks = parse_blocks(_output(agent, ["ifconfig", "-a"]))
    bridge = next((each for each, block in blocks.items() if name in block["members"]), "")
    addresses = blocks.get(name, {"addresses": []})["addresses"]
    service, *others = sorted(services.get(name, [""]), key=lambda each: each not in own)
    known, leased = None, []
    if service:
        text = _output(agent, ["networksetup", "-getinfo", service])
        known = dict(parse_info(text), name=service)
        leased = leased_of(text, addresses) if known["method"] in (DHCP, OTHER) else []
    return {
        "interface": name,
        "hardware": ports.get(name, ""),
        "bridge": bridge,
        "addresses": addresses,
        "leased": leased,
        "service": known,
        "others": others,
    }


def has_interface(agent, name):
    """Return whether there is an interface of a name."""
    return name in parse_blocks(_output(agent, ["ifconfig", "-a"]))


def addresses_of(agent, names):
    """Return the addresses that some interfaces have, IPv6 ones without their zone."""
    blocks = parse_blocks(_output(agent, ["ifconfig", "-a"]))
    found = [blocks[name] for name in names if name in blocks]
    return {address for block in found for address in [*(ip for ip, _mask in block["addresses"]), *block["inet6"]]}


def _output(agent, argv):
    text, reason = run(agent, argv)
    if reason:
        raise CallFailed("the state of its ports is not known: %s" % reason)
    return text


# -- the formats, of macOS 26 and 27 by public reports


def parse_ports(text):
    """Return {device: name of its port} of `networksetup -listallhardwareports`."""
    pairs = re.findall(r"^Hardware Port: (.*)\nDevice: (.*)$", text, re.MULTILINE)
    return {device.strip(): name.strip() for name, device in pairs if device.strip()}


def parse_services(text):
    """Return {device: its services that are on, in their order} of `networksetup -listnetworkserviceorder`."""
    found, name = {}, ""
    for line in text.splitlines():
        head, device = _NUMBERED.match(line.strip()), _DEVICE.match(line.strip())
        if head:
            name = head.group(2) if head.group(1) != "*" else ""
        elif device and name:
            found.setdefault(device.group(2), []).append(name)
            name = ""
    return found


def parse_info(text):
    """Return method, address, mask and router of `networksetup -getinfo`; "(null)" stands for none."""
    fields = dict(re.findall(r"^(IP address|Subnet mask|Router): (.*)$", text, re.MULTILINE))
    value = {name: "" if fields.get(name, "") in ("(null)", "none") else fields.get(name, "").strip() for name in fields}
    head = next((line.strip() for line in text.splitlines() if line.strip()), "")
    method = {"DHCP Configuration": DHCP, "Manual Configuration": MANUAL}.get(head, OTHER if "Configuration" in head else OFF)
    if method != MANUAL:
        value = {}
    return {"method": method, "ip": value.get("IP address", ""), "mask": value.get("Subnet mask", ""), "router": value.get("Router", "")}


def leased_of(text, addresses):
    """Return the addresses, of some, that a service without fixed ones gives: see its `-getinfo`, and RFC 3927."""
    shown = re.findall(r"^IP address: (.*)$", text, re.MULTILINE)
    return [pair for pair in addresses if pair[0] in shown or pair[0].startswith("169.254.")]


def parse_blocks(text):
    """Return {interface: {"addresses": [[ip, mask]], "inet6": [ip], "members": [...]}} of `ifconfig -a`."""
    found = {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        name = block.partition(":")[0].strip()
        if name:
            pairs = re.findall(r"^\s+inet (\S+)(?: --> \S+)? netmask (\S+)", block, re.MULTILINE)
            members = re.findall(r"^\s+member: (\S+)", block, re.MULTILINE)
            inet6 = re.findall(r"^\s+inet6 ([^\s%]+)", block, re.MULTILINE)
            found[name] = {"addresses": [[ip, _mask(mask)] for ip, mask in pairs], "inet6": inet6, "members": members}
    return found


def _mask(text):
    if not text.startswith("0x"):
        return text
    number = int(text, 16)
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))

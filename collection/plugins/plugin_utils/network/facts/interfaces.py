# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces and their IPv4 addresses, from ifconfig(8) of macOS or from iproute2 and sysfs of Linux. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from typing import Any

from .hardware import BRIDGE, ETHERNET, LONGEST_NAME, OTHER, THUNDERBOLT, VPN, WIFI, is_interface, kind_by_name, kind_of

MOST = 1024
_MEDIA = re.compile(r"(\d+)(G?)base", re.IGNORECASE)
_NO_LINK = ("DOWN", "LOWERLAYERDOWN", "NOTPRESENT")  # operational states of RFC 2863
_ETHER_TYPE = "1"  # ARPHRD_ETHER of <linux/if_arp.h>


@dataclass(frozen=True)
class Interface:
    """An interface of a host.

    Attributes:
        name: en0, eth0.
        kind: see `hardware`.
        addresses: its IPv4 addresses with their networks.
        active: whether it has a link.
        speed: Mb/s, 0 when not known.
        bridge: the bridge that it is a member of, or empty.
        port: name of its hardware port on a Mac, or empty.
    """

    name: str
    kind: str = OTHER
    addresses: tuple[IPv4Interface, ...] = ()
    active: bool = True
    speed: int = 0
    bridge: str = ""
    port: str = ""


def parse_ifconfig(text: str, ports: Mapping[str, str]) -> dict[str, Interface]:
    """Return the interfaces of `ifconfig -a` (macOS).

    Args:
        text: its output.
        ports: name of the hardware port of each device.
    """
    found: dict[str, Interface] = {}
    members: dict[str, str] = {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE)[: MOST + 1]:
        name = block.partition(":")[0].strip()
        if not is_interface(name):
            continue
        found[name] = _block(name, block, ports.get(name, ""))
        members |= dict.fromkeys(re.findall(r"^[ \t]+member: (\S{1,64})", block, re.MULTILINE), name)
    return {name: replace(each, bridge=members.get(name, "")) for name, each in found.items()}


def _block(name: str, block: str, port: str) -> Interface:
    addresses = (_address(ip, mask) for ip, mask in re.findall(r"^[ \t]+inet (\S+)(?: --> \S+)? netmask (\S+)", block, re.MULTILINE))
    flags = re.search(r"flags=\w+<([^<>]*)>", block)
    status = re.search(r"^[ \t]+status: (.+)", block, re.MULTILINE)
    media = re.search(r"^[ \t]+media: (.{0,200})", block, re.MULTILINE)
    return Interface(
        name,
        kind_of(name, port),
        tuple(address for address in addresses if address),
        bool(flags and "UP" in flags[1].split(",")) and (not status or status[1].strip() == "active"),
        _media_speed(media[1] if media else ""),
        port=port,
    )


def _address(ip: str, mask: str) -> IPv4Interface | None:
    try:
        bits = bin(int(mask, 16)).count("1") if mask.startswith("0x") else mask
        return IPv4Interface(f"{ip}/{bits}")
    except ValueError:
        return None


def _media_speed(media: str) -> int:
    found = _MEDIA.search(media)
    return min(int(found[1][:6]) * (1000 if found[2] else 1), 1_000_000) if found else 0


def parse_ip_addr(addresses: Any, facts: Any) -> dict[str, Interface]:
    """Return the interfaces of a Linux host.

    Args:
        addresses: the data of `ip -j -4 addr` (iproute2).
        facts: of the kernel about each interface, see module_utils/network/probe.py.
    """
    known: dict[str, Mapping[str, Any]] = {}
    for entry in addresses[:MOST] if isinstance(addresses, list) else []:
        if isinstance(entry, Mapping) and is_interface(entry.get("ifname")):
            known[entry["ifname"]] = entry
    facts = facts if isinstance(facts, Mapping) else {}
    names = list(dict.fromkeys([*known, *(name for name in list(facts)[:MOST] if is_interface(name))]))
    found = {name: _linux(name, known.get(name, {}), facts.get(name)) for name in names}
    return {name: _like_its_port(each, found.values(), facts) for name, each in found.items()}


def _like_its_port(bridge: Interface, interfaces: Iterable[Interface], facts: Mapping[str, Any]) -> Interface:
    """Return a bridge as Ethernet when a wired port is a member: such a host has its address on the bridge."""
    if bridge.kind != BRIDGE:
        return bridge
    wired = [each for each in interfaces if each.bridge == bridge.name and each.kind == ETHERNET]
    speeds = [each.speed for each in wired if "device" in _tags(facts.get(each.name))]
    return replace(bridge, kind=ETHERNET, speed=max(speeds)) if speeds else bridge


def _of_entry(entry: Mapping[str, Any]) -> list[IPv4Interface]:
    found = []
    infos = entry.get("addr_info")
    for info in infos[:MOST] if isinstance(infos, list) else []:
        if isinstance(info, Mapping) and info.get("family", "inet") == "inet":
            try:
                found.append(IPv4Interface(f"{info.get('local')}/{info.get('prefixlen')}"))
            except ValueError:
                continue
    return found


def _linux(name: str, entry: Mapping[str, Any], facts: Any) -> Interface:
    facts = facts if isinstance(facts, Mapping) else {}
    speed = str(facts.get("speed", ""))
    master = facts.get("master")
    return Interface(
        name,
        _linux_kind(name, facts),
        tuple(_of_entry(entry)),
        _is_active(entry, str(facts.get("carrier", ""))),
        min(int(speed[:9]), 1_000_000) if speed.isascii() and speed.isdecimal() else 0,
        master[:LONGEST_NAME] if isinstance(master, str) else "",
    )


def _is_active(entry: Mapping[str, Any], carrier: str) -> bool:
    """Return whether an interface is up and has a link; the kernel tells no carrier of one that is down."""
    flags = entry.get("flags")
    if isinstance(flags, list) and "UP" not in flags:
        return False
    return carrier == "1" if carrier in ("0", "1") else entry.get("operstate") not in _NO_LINK


def _tags(facts: Any) -> list[str]:
    tags = facts.get("is") if isinstance(facts, Mapping) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _linux_kind(name: str, facts: Mapping[str, Any]) -> str:
    tags = _tags(facts)
    uevent = str(facts.get("uevent", ""))
    if "thunderbolt" in str(facts.get("driver", "")):
        return THUNDERBOLT
    if "wireless" in tags or "DEVTYPE=wlan" in uevent:
        return WIFI
    if "bridge" in tags:
        return BRIDGE
    if "tun_flags" in tags or "DEVTYPE=wireguard" in uevent:
        return VPN
    by_name = kind_by_name(name)
    return ETHERNET if by_name == OTHER and str(facts.get("type", _ETHER_TYPE)) == _ETHER_TYPE else by_name


def is_usual(address: IPv4Interface) -> bool:
    """Return whether other hosts can use an address: no loopback, link-local or multicast one."""
    ip = address.ip
    return not (
        ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip == ipaddress.IPv4Address("255.255.255.255")
    )

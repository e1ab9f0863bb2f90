# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that take a port of a Mac from one state to another. Pure: lists of words, which no shell has to split.

Setting a port up and undoing that are the same: the second goes back to the state that was recorded. A state is
    {"interface": "en2", "hardware": "Thunderbolt 1", "bridge": "bridge0" or "", "addresses": [[ip, mask]],
     "leased": those of the addresses that a service without fixed ones gives,
     "service": None or {"name", "method", "ip", "mask", "router"}, "others": names of more services that are on}
"""

from __future__ import annotations

MANUAL, DHCP, OFF, OTHER = "manual", "dhcp", "off", "other"
OWN = "mlxlaunch "  # begins the name of a service that we make


def wanted_state(now, ip, mask):
    """Return the state of a port with one address and in no bridge.

    networksetup(8) keeps the address over a restart, where the port has a service or can get one.
    """
    service = now["service"]
    if now["hardware"] and (not service or service["method"] != OTHER):
        name = service["name"] if service else OWN + now["hardware"]
        service = {"name": name, "method": MANUAL, "ip": ip, "mask": mask, "router": ""}
    return dict(now, bridge="", addresses=[[ip, mask]], service=service)


def without_service(now, wanted):
    """Return a wanted state for a port whose service cannot be set: its address is one until the next restart.

    A service that would give the port another address beside it is off.
    """
    service = now["service"]
    if service and service["method"] != OFF:
        service = dict(service, method=OFF, ip="", mask="", router="")
    return dict(wanted, service=service)


def settings_of(now, wanted):
    """Return all that a port has on the way from one state to another: {"services": [...], "addresses": [...]}."""
    service = wanted["service"]
    made = [dict(service, method=DHCP, ip="", mask="", router="")] if service and not now["service"] else []
    return {"services": [*made, service], "addresses": wanted["addresses"]}


def taken_back(now, before, given):
    """Return the state of a port to go back to, and a line for each setting that somebody else has made since.

    Args:
        now: its state.
        before: the recorded one.
        given: all that it was given here, see `settings_of`.
    """
    service = now["service"]
    if service != before["service"] and _routeless(service) not in [_routeless(each) for each in given["services"]]:
        return now, ["its service was changed by somebody else since, and the port is left alone"]
    gone = [pair for pair in given["addresses"] if pair not in before["addresses"]]
    if service != before["service"]:
        gone += now["leased"]
    stay = [pair for pair in now["addresses"] if pair not in gone]
    back = [pair for pair in before["addresses"] if pair not in before["leased"] and pair not in stay]
    notes = ["%s is somebody else's, and is left alone" % ip for ip, mask in stay if [ip, mask] not in before["addresses"] + now["leased"]]
    bridge = before["bridge"]
    if now["bridge"] not in ("", bridge):
        bridge = now["bridge"]
        notes.append("it is in %s by now, and stays there" % bridge)
    return dict(now, bridge=bridge, addresses=stay + back, leased=before["leased"], service=before["service"]), notes


def _routeless(service):
    return service and dict(service, router="")  # macOS may add a router of its own


def steps(now, wanted):
    """Return the programs to run, in order; none when the port is as it is wanted."""
    interface = now["interface"]
    leaves = bool(now["bridge"]) and now["bridge"] != wanted["bridge"]
    enters = bool(wanted["bridge"]) and now["bridge"] != wanted["bridge"]
    found = [["ifconfig", now["bridge"], "deletem", interface]] if leaves else []
    changes = now["service"] != wanted["service"]  # and takes its address with it
    kept = [pair for pair in now["addresses"] if pair in wanted["addresses"] and not (changes and _gives(now["service"], pair))]
    found += [["ifconfig", interface, "inet", ip, "-alias"] for ip, mask in now["addresses"] if [ip, mask] not in kept]
    found += _service_steps(now, wanted)
    service = wanted["service"]
    beside = kept or (service and service["method"] != OFF)  # without "alias" it would take the place of another
    for ip, mask in [pair for pair in wanted["addresses"] if pair not in kept and not _gives(service, pair)]:
        found.append(["ifconfig", interface, "inet", ip, "netmask", mask, *(["alias"] if beside else [])])
        beside = True
    return found + ([["ifconfig", wanted["bridge"], "addm", interface]] if enters else [])


def _gives(service, pair):
    return bool(service) and service["method"] == MANUAL and [service["ip"], service["mask"]] == pair


def _service_steps(now, wanted):
    before, after = now["service"], wanted["service"]
    if before == after:
        # A service that is right gives its address anew to a port that was in a bridge, or has lost it.
        return _method_steps(after) if after and _lacks(now, wanted) else []
    if after is None:
        return [["networksetup", "-removenetworkservice", before["name"]]]
    made = [] if before else [["networksetup", "-createnetworkservice", after["name"], now["hardware"]]]
    return made + _method_steps(after)


def _lacks(now, wanted):
    if now["bridge"] and now["bridge"] == wanted["bridge"]:
        return False  # services give a member none
    if wanted["service"]["method"] == DHCP:
        return bool(wanted["leased"]) and not now["addresses"]
    return any(_gives(wanted["service"], pair) for pair in wanted["addresses"] if pair not in now["addresses"])


def _method_steps(service):
    name = service["name"]
    if service["method"] == MANUAL:
        return [["networksetup", "-setmanual", name, service["ip"], service["mask"], *([service["router"]] if service["router"] else [])]]
    return [["networksetup", {DHCP: "-setdhcp", OFF: "-setv4off"}[service["method"]], name]] if service["method"] in (DHCP, OFF) else []


def is_persistent(state):
    """Return whether a port's addresses stay after a restart."""
    service = state["service"]
    return bool(service) and service["method"] == MANUAL and [[service["ip"], service["mask"]]] == state["addresses"]


def describe(state):
    """Return the state of a port as a line for a person."""
    parts = ["member of %s" % state["bridge"]] if state["bridge"] else []
    service = state["service"]
    addresses = ["%s/%d" % (ip, _length(mask)) for ip, mask in state["addresses"]]
    parts += addresses or ([] if service and service["method"] == DHCP else ["no address"])  # DHCP takes a while to give one
    parts.append("service %s, %s" % (service["name"], service["method"]) if service else "no service")
    return "%s: %s" % (state["interface"], ", ".join(parts))


def _length(mask):
    return sum(bin(int(part)).count("1") for part in mask.split("."))

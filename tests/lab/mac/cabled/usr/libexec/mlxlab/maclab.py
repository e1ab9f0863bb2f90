"""The network of a Mac of the lab: its cables, its preferences, and the kernel behind its programs.

Preferences are a file on its disk, as a Mac's are; all else is forgotten when it restarts. Many of these programs run at
the same time, so nothing is imported that is slow to import.
"""

from __future__ import annotations

import json
import os
import sys

sys.path.insert(0, "/usr/libexec/mlxlab")
from macstate import HERE, read, write

PREFERENCES = "/Library/Preferences/SystemConfiguration/preferences.json"
RUNNING = "/run/mlxlab-bridge.json"

PLAN = read(HERE + "/recordings/cables.json")
BRIDGE = "bridge0"


def ip(*words, check=True):
    """Run ip(8), which a Mac does not have; return its output."""
    output, theirs = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, theirs, 1)]
    if not check:
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    child = os.posix_spawn(HERE + "/ip", ["ip", *words], os.environ, file_actions=actions)
    os.close(theirs)
    with open(output, encoding="utf-8") as source:
        text = source.read()
    if os.waitpid(child, 0)[1] and check:
        raise SystemExit(1)
    return text


def links():
    """Return the data of `ip addr` by interface."""
    return {entry["ifname"]: entry for entry in json.loads(ip("-j", "addr") or "[]") if "ifname" in entry}


def active(entry):
    """Return whether an interface has a link."""
    return bool(entry) and "LOWER_UP" in entry["flags"]


def inet(entry):
    """Return the IPv4 addresses of an interface: (address, length of its prefix)."""
    infos = entry.get("addr_info", []) if entry else []
    return [(info["local"], info["prefixlen"]) for info in infos if info["family"] == "inet"]


def number(address):
    """Return an address as a number."""
    return int.from_bytes(bytes(int(part) for part in address.split(".")), "big")


def dotted(number):
    """Return a number as an address."""
    return ".".join(str(part) for part in number.to_bytes(4, "big"))


def mask(length):
    """Return the mask of a prefix, as a number."""
    return (1 << 32) - (1 << (32 - length))


# -- preferences, which a restart does not forget


def preferences():
    """Return services by name, in their order, and the members of the bridge."""
    known = read(PREFERENCES)
    if known is not None:
        return known
    own = {name: {"device": device, "method": "dhcp"} for name, device in PLAN["services"].items()}
    fixed = {"Ethernet": "en0", "Wi-Fi": "en1", "Thunderbolt Bridge": BRIDGE}
    services = {name: {"device": device, "method": "dhcp"} for name, device in fixed.items()}
    return {"services": dict(services, **own), "bridge": PLAN["bridge"]}


def save(data):
    """Write preferences."""
    os.makedirs(os.path.dirname(PREFERENCES), exist_ok=True)
    write(PREFERENCES, data)


# -- the bridge, as it is now


def members():
    """Return the members of the bridge."""
    now = read(RUNNING)
    return preferences()["bridge"] if now is None else now


def set_members(names):
    """Let the bridge have these members; ports without a cable have no interface in the kernel."""
    write(RUNNING, names)
    known = links()
    if names and BRIDGE not in known:
        # The spanning tree: in a loop of cables a storm would take the machine's processors, as it takes a Mac's.
        ip("link", "add", "name", BRIDGE, "type", "bridge", "stp_state", "1")
        ip("link", "set", BRIDGE, "up")
    for name, entry in known.items():
        if name in names and entry.get("master") != BRIDGE:
            ip("link", "set", name, "master", BRIDGE)
        elif name not in names and entry.get("master") == BRIDGE:
            ip("link", "set", name, "nomaster")


# -- the system's own part


def configure(device):
    """Give an interface the address of its service, if it has one by hand; a member of a bridge gets none."""
    entry = links().get(device)
    service = next((each for each in preferences()["services"].values() if each["device"] == device), None)
    if not entry or not service or device in ("en0", "en1", BRIDGE):
        return
    ip("-4", "addr", "flush", "dev", device)
    if service["method"] == "manual" and device not in members():
        ip("addr", "add", f"{service['ip']}/{service['mask']}", "dev", device)


def main():
    """Bring the interfaces of cables that were plugged in, as a Mac does when it has started: `configd`."""
    set_members(members())
    for device in PLAN["ports"].values():
        entry = links().get(device)
        if entry and "UP" not in entry["flags"]:
            ip("link", "set", device, "up")
            configure(device)
    for device, addresses in PLAN["addresses"].items():
        for address in addresses:
            ip("addr", "add", address, "dev", device, check=False)
    if PLAN["vpn"] and "utun4" not in links():
        ip("link", "add", "name", "utun4", "type", "veth", "peer", "name", "vpn")  # a device for tunnels is not in a host
        ip("link", "set", "utun4", "up")
        ip("link", "set", "vpn", "up")
        for network in PLAN["vpn"]:
            ip("route", "add", network, "dev", "utun4")


if __name__ == "__main__":
    main()

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw answers about a host's network: output of the system's own programs, as it is. Nothing is changed.

The controller parses them. So a recording of them is a test, and a new format of a program needs no new agent.
"""

from __future__ import annotations

import json
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import programs

FORMAT = 1
_SLOW, _QUICK = 60.0, 20.0  # seconds; a Mac's profiler takes one or two, and ten times as many on one that is at work
SHARING = "/Library/Preferences/SystemConfiguration/com.apple.nat.plist"

# The names are those of files in a recording, see docs/network.md.
MAC = {
    "system_profiler.json": (["system_profiler", "SPThunderboltDataType", "-json"], _SLOW),
    "hardware_ports.txt": (["networksetup", "-listallhardwareports"], _QUICK),
    "service_order.txt": (["networksetup", "-listnetworkserviceorder"], _QUICK),
    "location.txt": (["networksetup", "-getcurrentlocation"], _QUICK),
    "ifconfig.txt": (["ifconfig", "-a"], _QUICK),
    "routes.txt": (["netstat", "-rn", "-f", "inet"], _QUICK),
    "sw_vers.txt": (["sw_vers"], _QUICK),
    "model.txt": (["sysctl", "-n", "hw.model"], _QUICK),
    "ibv_devices.txt": (["ibv_devices"], _QUICK),
    "ibv_devinfo.txt": (["ibv_devinfo"], _QUICK),
    "rdma_ctl.txt": (["rdma_ctl", "status"], _QUICK),
    "vpn.txt": (["scutil", "--nc", "list"], _QUICK),
    # Two fields of the file; another one is the password of a shared Wi-Fi.
    "sharing_enabled.txt": (["plutil", "-extract", "NAT.Enabled", "raw", "-o", "-", SHARING], _QUICK),
    "sharing_devices.json": (["plutil", "-extract", "NAT.SharingDevices", "json", "-o", "-", SHARING], _QUICK),
    "bridge_lease.txt": (["ipconfig", "getpacket", "bridge0"], _QUICK),
    "power.txt": (["pmset", "-g"], _QUICK),
    "filevault.txt": (["fdesetup", "status"], _QUICK),
}
LINUX = {
    "ip_addr.json": (["ip", "-j", "-4", "addr"], _QUICK),
    "ip_route.json": (["ip", "-j", "-4", "route", "show", "table", "all"], _QUICK),
    "ibv_devices.txt": (["ibv_devices"], _QUICK),
    "ibv_devinfo.txt": (["ibv_devinfo"], _QUICK),
}
# Files of other software that sets up the same ports (exo's daemon), or takes their traffic (VPN clients).
OWNERS = (
    "/Library/LaunchDaemons/io.exo.networksetup.plist",
    "/Library/LaunchDaemons/com.cloudflare.1dot1dot1dot1.macos.warp.daemon.plist",
    "/Library/LaunchDaemons/com.cisco.anyconnect.vpnagentd.plist",
    "/Library/LaunchDaemons/com.cisco.secureclient.vpnagentd.plist",
    "/Library/LaunchAgents/com.paloaltonetworks.gp.pangpa.plist",
    "/Library/LaunchDaemons/com.tailscale.tailscaled.plist",
    "/Applications/Tailscale.app",
)


def probe(agent, sys="/sys/class/net"):
    """Return the answers of one host.

    Returns:
        {"format": 1, "system": "Darwin" or "Linux", "answers": {name: text}, "failed": {name: reason}}
    """
    mac = machine.is_mac()
    texts, failed = programs.run_all(MAC if mac else LINUX, lambda: agent.gone)
    texts["ssh.txt"] = _ssh_address()
    if mac:
        texts["owners.txt"] = owners()
    else:
        texts["interfaces.json"] = json.dumps(interfaces(sys))
    return {"format": FORMAT, "system": "Darwin" if mac else "Linux", "answers": texts, "failed": failed}


def owners():
    """Return the files of other software that are there, a line each."""
    return "".join("%s\n" % path for path in OWNERS if os.path.exists(path))


def _ssh_address():
    """Return the own address of the connection that this program came by, or an empty line."""
    fields = os.environ.get("SSH_CONNECTION", "").split()
    return "%s\n" % (fields[2] if len(fields) == 4 else "")


def interfaces(folder):
    """Return facts of the kernel about each interface of a Linux machine: sysfs-class-net in its documentation."""
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            facts = {fact: _fact(os.path.join(path, fact)) for fact in ("type", "speed", "carrier", "address")}
            facts["is"] = [kind for kind in ("wireless", "bridge", "tun_flags", "device") if os.path.exists(os.path.join(path, kind))]
            facts["driver"] = os.path.basename(os.path.realpath(os.path.join(path, "device", "driver")))
            facts["master"] = os.path.basename(os.path.realpath(os.path.join(path, "master"))) if _has(path, "master") else ""
            facts["uevent"] = _fact(os.path.join(path, "uevent"))
            found[name] = facts
    return found


def _has(path, name):
    return os.path.lexists(os.path.join(path, name))


def _fact(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read(4096).strip()
    except OSError:  # "Invalid argument" for the speed of an interface that is down
        return ""

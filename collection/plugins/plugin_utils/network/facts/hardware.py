# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware ports and network services of a Mac, as networksetup(8) lists them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

ETHERNET, WIFI, THUNDERBOLT, BRIDGE = "ethernet", "wifi", "thunderbolt", "bridge"
VPN, LOOPBACK, OTHER = "vpn", "loopback", "other"
LONGEST_NAME = 64  # characters of an interface, port or service; macOS and Linux have at most 15 for an interface
# A name goes into hostfiles, and into variables of an inventory, where Ansible would take some texts for templates.
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]*")
_THUNDERBOLT = re.compile(r"Thunderbolt \d+")
_WIFI = re.compile(r"Wi-?Fi|WLAN|AirPort", re.IGNORECASE)
_ETHERNET = re.compile(r"Ethernet|\bLAN\b")
_BY_NAME = (
    (re.compile(r"lo\d*"), LOOPBACK),
    (re.compile(r"(utun|feth|ipsec|ppp|tun|tap|wg|tailscale|nordlynx|zt)\w*"), VPN),  # feth is ZeroTier's on a Mac
    (re.compile(r"(bridge|br|virbr|docker)[-\w]*"), BRIDGE),
)


def is_interface(name: object) -> bool:
    """Return whether a host's text can be the name of an interface."""
    return isinstance(name, str) and len(name) <= LONGEST_NAME and _INTERFACE.fullmatch(name) is not None


def parse_hardware_ports(text: str) -> dict[str, str]:
    """Return {device: name of its port} of `networksetup -listallhardwareports`; "Thunderbolt 2" may be any enN."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        head, _colon, value = line.partition(":")
        if head == "Hardware Port":
            name = value.strip()[:LONGEST_NAME]
        elif head == "Device" and name and value.strip():
            if is_interface(device := value.strip()[:LONGEST_NAME]):
                found.setdefault(device, name)
            name = ""
    return found


@dataclass(frozen=True)
class Service:
    """A network service: its name, its device, and whether it is on."""

    name: str
    device: str
    enabled: bool = True


_NUMBERED = re.compile(r"\((\d+|\*)\) (.{1,200})")
_DEVICE = re.compile(r"\(Hardware Port: .*, Device: ([^\s,]*)\)")


def parse_service_order(text: str) -> list[Service]:
    """Return the services of `networksetup -listnetworkserviceorder`, in their order."""
    found: list[Service] = []
    name, enabled = "", True
    for line in text.splitlines():
        if head := _NUMBERED.fullmatch(line.strip()):
            name, enabled = head[2], head[1] != "*"
        elif (device := _DEVICE.fullmatch(line.strip())) and name:
            found.append(Service(name, device[1], enabled))
            name = ""
    return found


def kind_of(interface: str, port: str = "") -> str:
    """Return the kind of an interface of a Mac: by its own name, else by its port's, which is translated."""
    if (by_name := kind_by_name(interface)) != OTHER:
        return by_name
    if _THUNDERBOLT.fullmatch(port):
        return THUNDERBOLT
    if _WIFI.search(port):
        return WIFI
    return ETHERNET if _ETHERNET.search(port) else OTHER


def kind_by_name(interface: str) -> str:
    """Return the kind that the name of an interface shows, OTHER when it shows none."""
    return next((kind for pattern, kind in _BY_NAME if pattern.fullmatch(interface)), OTHER)

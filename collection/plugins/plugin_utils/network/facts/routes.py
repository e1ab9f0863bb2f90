# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv4 routes, from netstat(1) of macOS or iproute2 of Linux, and the route that an address takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from .hardware import LONGEST_NAME

MOST = 65536
_SKIPPED_TYPES = ("local", "broadcast", "multicast", "anycast")
_SHORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,3})(?:/(\d{1,2}))?")


@dataclass(frozen=True)
class Route:
    """A route: the network, the interface it leaves by, and whether it is valid for that interface alone."""

    network: IPv4Network
    interface: str
    scoped: bool = False


def parse_netstat(text: str) -> list[Route]:
    """Return the routes of `netstat -rn -f inet` (macOS); columns are found by their heads."""
    found: list[Route] = []
    column = 3
    for line in text.splitlines()[:MOST]:
        fields = line.split()
        if fields[:1] == ["Destination"]:
            column = fields.index("Netif") if "Netif" in fields else 3
            continue
        network = parse_destination(fields[0]) if len(fields) > max(column, 2) else None
        # Flags stand in the third column; I is for a route that counts for its interface alone.
        if network and not network.network_address.is_multicast:
            found.append(Route(network, fields[column][:LONGEST_NAME], "I" in fields[2]))
    return found


def parse_destination(text: str) -> IPv4Network | None:
    """Return the network in netstat's first column: "192.168.1" is 192.168.1.0/24, "10.1/16" is 10.1.0.0/16."""
    if text == "default":
        return IPv4Network("0.0.0.0/0")
    found = _SHORT.fullmatch(text)
    if not found:
        return None
    octets = found[1].split(".")
    length = found[2] or str(8 * len(octets))
    try:
        return IPv4Network(f"{'.'.join([*octets, '0', '0', '0'][:4])}/{length}", strict=False)
    except ValueError:
        return None


def parse_ip_route(data: Any) -> list[Route]:
    """Return the routes in the data of `ip -j -4 route show table all` (iproute2)."""
    found: list[Route] = []
    for entry in data[:MOST] if isinstance(data, list) else []:
        if not isinstance(entry, Mapping) or entry.get("type") in _SKIPPED_TYPES or not isinstance(entry.get("dev"), str):
            continue
        destination = entry.get("dst")
        try:
            network = IPv4Network("0.0.0.0/0" if destination == "default" else str(destination), strict=False)
        except ValueError:
            continue
        found.append(Route(network, entry["dev"][:LONGEST_NAME]))
    return found


def route_to(routes: Iterable[Route], address: IPv4Address) -> Route | None:
    """Return the route that traffic to an address takes: the longest prefix, and among these the first.

    A scoped route is for traffic that is bound to its interface: the second one in a network has such, to every host
    that it has seen there.
    """
    fitting = [route for route in routes if address in route.network and not route.scoped]
    return max(fitting, key=lambda route: route.network.prefixlen, default=None)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ethernet address of every host, by which all of them reach each other fastest. Pure.

The name of an interface tells nothing: en0 is Ethernet on a Mac Studio and Wi-Fi on a MacBook. So networks that all
hosts share are compared, by the slowest interface in each, and routes show whether a VPN takes the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ..facts.finding import WARN, Finding
from ..facts.hardware import ETHERNET, OTHER, VPN, WIFI
from ..facts.host import HostNetwork, thunderbolt_interfaces
from ..facts.interfaces import Interface, is_usual
from ..facts.routes import route_to

_UNKNOWN_SPEED = 100  # Mb/s that an Ethernet interface is taken to have when it does not tell
_KIND_ORDER = {ETHERNET: 3, OTHER: 2, WIFI: 1}


@dataclass(frozen=True)
class Place:
    """An interface of a host and one of its addresses."""

    interface: Interface
    address: IPv4Interface


@dataclass(frozen=True)
class EthernetPlan:
    """The addresses of the hosts, in their order.

    Attributes:
        places: the interface and address of each host; empty when there is a problem.
        problem: why there is no address for each host, or empty.
        findings: doubts.
    """

    places: tuple[Place, ...] = ()
    problem: str = ""
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def addresses(self) -> list[str]:
        """The addresses as text."""
        return [str(place.address.ip) for place in self.places]


def plan_ethernet(hosts: Sequence[HostNetwork], interface: str = "") -> EthernetPlan:
    """Return the address of every host.

    Args:
        hosts: all of them.
        interface: the interface to take on every host, or empty to choose.
    """
    if interface:
        return _named(hosts, interface)
    options = [list(_options(host)) for host in hosts]
    without = next((host.name for host, found in zip(hosts, options, strict=True) if not found), "")
    if without:
        return EthernetPlan(problem=f"{without} has no IPv4 address on Ethernet or Wi-Fi; connect it, or name one with --interface")
    shared = list(_shared(options))
    if shared:
        # The first of equals: interfaces come in the order of the first host.
        places = max(shared, key=lambda places: _rank(hosts, places))
        return EthernetPlan(places, findings=tuple(_doubts(hosts, places)))
    return _routed(hosts, tuple(_by_default_route(host, found) for host, found in zip(hosts, options, strict=True)))


def _routed(hosts: Sequence[HostNetwork], places: tuple[Place, ...]) -> EthernetPlan:
    """Return the plan of places that are in no common network."""
    names: dict[IPv4Address, str] = {}
    for host, place in zip(hosts, places, strict=True):
        if names.setdefault(ip := place.address.ip, host.name) != host.name:
            return EthernetPlan(problem=f"{names[ip]} and {host.name} have the same IPv4 address, {ip}; change one, or set mlx_ips")
    text = "the hosts share no network, so routers are in between: " + ", ".join(str(place.address) for place in places[:4])
    return EthernetPlan(places, findings=(Finding(WARN, "routed", text), *_doubts(hosts, places)))


def _named(hosts: Sequence[HostNetwork], interface: str) -> EthernetPlan:
    options = []
    for host in hosts:
        found = host.interfaces.get(interface)
        if found is None:
            has = ", ".join(name for name, each in host.interfaces.items() if any(map(is_usual, each.addresses))) or "none"
            return EthernetPlan(problem=f"{host.name} has no interface {interface}; those with an address are: {has}")
        if not found.addresses:
            return EthernetPlan(problem=f"{host.name} has no IPv4 address on {interface}")
        if not found.active:
            return EthernetPlan(problem=f"{host.name} has no link on {interface}; plug it in, or name another interface")
        options.append([Place(found, address) for address in sorted(found.addresses, key=is_usual, reverse=True)])
    places = next(_shared(options), None)
    if places is None:
        return _routed(hosts, tuple(found[0] for found in options))
    return EthernetPlan(places, findings=tuple(_doubts(hosts, places)))


def _options(host: HostNetwork) -> Iterator[Place]:
    cables = thunderbolt_interfaces(host)
    for interface in host.interfaces.values():
        if interface.kind in _KIND_ORDER and interface.active and interface.name not in cables and not interface.bridge:
            yield from (Place(interface, address) for address in interface.addresses if is_usual(address))


def _shared(options: Sequence[Sequence[Place]]) -> Iterator[tuple[Place, ...]]:
    """Yield, for each network that all hosts are in, the best place of each; those of equal addresses are none."""
    networks = dict.fromkeys(place.address.network for place in options[0])
    for network in networks:
        places = [max((place for place in found if _in(place, network)), key=_worth, default=None) for found in options]
        known = tuple(place for place in places if place is not None)
        if len(known) == len(options) and len({place.address.ip for place in known}) == len(known):
            yield known


def _in(place: Place, network: IPv4Network) -> bool:
    return place.address.ip in network and network.network_address in place.address.network


def _worth(place: Place) -> tuple[int, int]:
    """Return how good a place is: by the kind of its interface, then by Mb/s.

    One of a kind and speed that are not known may be a phone or Bluetooth, so Wi-Fi is better.
    """
    kind, speed = place.interface.kind, place.interface.speed
    return (0 if kind == OTHER and not speed else _KIND_ORDER.get(kind, 0), speed or _UNKNOWN_SPEED)


def _rank(hosts: Sequence[HostNetwork], places: Sequence[Place]) -> tuple[bool, int, int]:
    """Return how good places are: by routes that no VPN takes, by the kind of the worst interface, by the slowest."""
    direct = not any(kind == VPN for _host, _interface, kind in _detours(hosts, places))
    kinds, speeds = zip(*map(_worth, places), strict=True)
    return (direct, min(kinds), min(speeds))


def _detours(hosts: Sequence[HostNetwork], places: Sequence[Place]) -> Iterator[tuple[str, str, str]]:
    """Yield (name of a host, interface, kind) where its traffic to the others leaves by another interface."""
    for host, place in zip(hosts, places, strict=True):
        others = [other.address.ip for other in places if other is not place]
        taken = {route.interface for ip in others if (route := route_to(host.routes, ip))}
        for name in sorted(taken - {place.interface.name}):
            yield host.name, name, host.kind(name)


def _doubts(hosts: Sequence[HostNetwork], places: Sequence[Place]) -> Iterator[Finding]:
    for detoured, name, kind in _detours(hosts, places):
        what = {VPN: "a VPN; exempt their network there, or end it", WIFI: "Wi-Fi; put the wired service before it, or turn it off"}
        text = f"traffic to the other hosts leaves by {what.get(kind, 'another interface; mend the routes there')}, before a launch"
        yield Finding(WARN, "vpn_route" if kind == VPN else "other_route", text, detoured, name)
    for host, place in zip(hosts, places, strict=True):
        if place.interface.kind == WIFI:
            yield Finding(
                WARN, "wifi", "the hosts share no wired network with it, so it is reached by Wi-Fi", host.name, place.interface.name
            )


def _by_default_route(host: HostNetwork, found: Sequence[Place]) -> Place:
    default = next((route.interface for route in host.routes if route.network.prefixlen == 0 and not route.scoped), "")
    return max(found, key=lambda place: (place.interface.name == default, _worth(place)))

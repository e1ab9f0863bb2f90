# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table: one for each port that is in use or planned. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..facts.hardware import ETHERNET, THUNDERBOLT, WIFI
from ..facts.host import HostNetwork, Port, thunderbolt_interfaces
from ..facts.interfaces import Interface, is_usual
from ..plan.plan import Plan
from ..topology.cables import Cable

READY, TO_SET, BRIDGED, BLOCKED = "ready", "to set", "bridged", "blocked"
UNUSED, FOREIGN, DEVICE, UP = "unused", "no host", "device", "up"
_MOST_OUTSIDE = 4  # rows of interfaces that are no cables


@dataclass(frozen=True)
class Row:
    """One interface of one host, as texts for the table."""

    host: str
    interface: str
    kind: str
    address: str
    peer: str
    state: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def rows_of(plan: Plan) -> list[Row]:
    """Return the rows of all hosts, in order."""
    return [row for at, host in enumerate(plan.hosts) for row in _host_rows(plan, at, host)]


def _host_rows(plan: Plan, at: int, host: HostNetwork) -> Iterator[Row]:
    chosen = plan.ethernet.places[at].interface.name if plan.ethernet.places else ""
    shown = False
    for interface in list(_outside(host, chosen))[:_MOST_OUTSIDE]:
        shown = True
        address = next((str(each) for each in interface.addresses if is_usual(each)), str(interface.addresses[0]))
        yield Row(host.name, interface.name, _kind(interface), address, "", UP if interface.name == chosen else UNUSED)
    cables = [cable for cable in plan.cabling.cables if at in cable.hosts]
    for port in host.ports:
        of_port = [cable for cable in cables if cable.end(at).port.bus.uuid == port.bus.uuid]
        for cable in of_port:
            shown = True
            yield _cable_row(plan, at, host, cable)
        if not of_port and port.bus.connected:
            shown = True
            yield Row(host.name, port.interface or "-", _speed(port.bus.speed), *_other_end(port))
    if not shown:
        yield Row(host.name, "-", "-", "-", "-", "no link")


def _outside(host: HostNetwork, chosen: str) -> Iterator[Interface]:
    """Yield the interfaces with an address that are no cables, the chosen one first."""
    cables = thunderbolt_interfaces(host)
    for interface in sorted(host.interfaces.values(), key=lambda each: each.name != chosen):
        usual = interface.kind in (ETHERNET, WIFI) and interface.active and any(map(is_usual, interface.addresses))
        if interface.name == chosen or (usual and interface.name not in cables):
            yield interface


def _cable_row(plan: Plan, at: int, host: HostNetwork, cable: Cable) -> Row:
    end, far = cable.end(at), cable.ends[1] if cable.ends[0].host == at else cable.ends[0]
    link = next((link for link in plan.links if link.cable is cable), None)
    known = host.interfaces.get(end.interface)
    state = BLOCKED if cable.blocked else UNUSED
    address = ", ".join(str(each) for each in known.addresses[:2]) if known else ""
    if link:
        state = BRIDGED if known and known.bridge else READY if link.kept else TO_SET
        address = str(link.address(at))
    peer = f"{plan.hosts[far.host].name} {far.interface or '?'}"
    return Row(host.name, end.interface or "-", _speed(cable.speed), address or "-", peer, state)


def _other_end(port: Port) -> tuple[str, str, str]:
    if port.bus.peers:
        return ("-", port.bus.peers[0].model or "a Mac", FOREIGN)
    return ("-", port.bus.devices[0] if port.bus.devices else "", DEVICE)


def _speed(speed: float) -> str:
    return f"TB {speed:g}G" if speed else "TB"


def _kind(interface: Interface) -> str:
    name = {"ethernet": "Ether", "wifi": "Wi-Fi", THUNDERBOLT: "TB"}.get(interface.kind, interface.kind)
    if interface.speed >= 1000:
        return f"{name} {interface.speed / 1000:g}G"
    return f"{name} {interface.speed}M" if interface.speed else name

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spans of a plan: pairs of addresses between which data goes, each with its interfaces. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan.plan import Plan
from ..plan.wishes import ETHERNET


@dataclass(frozen=True)
class Place:
    """One end of a span: host, interface and address."""

    host: str
    interface: str
    address: str

    def __str__(self) -> str:
        return f"{self.host} {self.interface}"


@dataclass(frozen=True)
class Span:
    """Two ends, and the speed that the medium between them has.

    Attributes:
        ends: both.
        speed: Gb/s, 0 when not known.
    """

    ends: tuple[Place, Place]
    speed: float = 0.0

    def __str__(self) -> str:
        return f"{self.ends[0]} -- {self.ends[1]}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        ends = [{"host": end.host, "interface": end.interface, "address": end.address} for end in self.ends]
        return {"ends": ends, "speed": self.speed}


def spans_of(plan: Plan) -> list[Span]:
    """Return the spans of a plan: its cables, or over Ethernet the way from each rank to the next."""
    return list(_over_ethernet(plan) if plan.over == ETHERNET else _over_cables(plan))


def _over_cables(plan: Plan) -> Iterator[Span]:
    for link in plan.links:
        ends = [Place(plan.hosts[end.host].name, end.interface, str(link.address(end.host).ip)) for end in link.cable.ends]
        yield Span((ends[0], ends[1]), link.cable.speed)


def _over_ethernet(plan: Plan) -> Iterator[Span]:
    places = [Place(plan.hosts[at].name, place.interface.name, str(place.address.ip)) for at, place in enumerate(plan.ethernet.places)]
    for at in range(len(places) if len(places) > 2 else len(places) - 1):
        other = (at + 1) % len(places)
        speeds = [plan.ethernet.places[each].interface.speed for each in (at, other)]
        yield Span((places[at], places[other]), min(speeds) / 1000)


def ring_addresses(plan: Plan) -> list[list[str]]:
    """Return, by rank, the addresses on which it listens in MLX's ring; empty when the spans make none."""
    if plan.over == ETHERNET:
        return [list(ips) for ips in plan.ips]
    found = [_towards(plan, host, plan.order[rank - 1]) for rank, host in enumerate(plan.order)]
    width = min((len(addresses) for addresses in found), default=0)
    return [addresses[:width] for addresses in found] if width else []


def _towards(plan: Plan, host: int, left: int) -> list[str]:
    return [str(link.address(host).ip) for link in plan.links if set(link.cable.hosts) == {host, left}]


def targets(spans: Sequence[Span], ports: dict[str, dict[str, Any]], *, back: bool) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Return, by calling host, (place of the span, target) of all spans whose far end listens.

    Args:
        spans: all of them.
        ports: by host and address, the port on which it listens.
        back: from the second end to the first.
    """
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for at, span in enumerate(spans):
        near, far = (span.ends[1], span.ends[0]) if back else span.ends
        port = ports.get(far.host, {}).get(far.address)
        if isinstance(port, int):
            target = {"address": far.address, "port": port, "source": near.address, "interface": near.interface}
            found.setdefault(near.host, []).append((at, target))
    return found

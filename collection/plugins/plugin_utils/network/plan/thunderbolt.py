# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backends that Thunderbolt cables allow, and the cables that each uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..facts.host import HostNetwork
from ..topology.cables import Cable
from ..topology.topology import Topology
from .rdma_rules import MOST_BETWEEN_NEIGHBOURS, MOST_IN_A_MESH, is_active
from .subnets import Addressed
from .wishes import AUTO, JACCL, JACCL_RING, RING


@dataclass(frozen=True)
class Choice:
    """One backend as the cables allow it, or the reason that they do not.

    Attributes:
        backend: ring, jaccl or jaccl-ring.
        order: places of the hosts by rank.
        width: cables between each two hosts that are neighbours.
        cables: those it uses, in the order of all cables.
        lanes: by pair of hosts, its cables in the order in which both ends list them.
        problem: the reason, or empty.
    """

    backend: str
    order: tuple[int, ...] = ()
    width: int = 0
    cables: tuple[Cable, ...] = ()
    lanes: tuple[tuple[frozenset[int], tuple[Cable, ...]], ...] = ()
    problem: str = ""

    def lane(self, one: int, other: int) -> tuple[Cable, ...]:
        """Return the cables between two hosts; the first of the list is the same cable seen from either side."""
        return dict(self.lanes).get(frozenset((one, other)), ())


def choices(hosts: Sequence[HostNetwork], topology: Topology, fast: Topology, backend: str, lack: str = "") -> list[Choice]:
    """Return the backends that come into question, best first.

    Args:
        hosts: all of them.
        topology: of all usable cables.
        fast: of those that can carry RDMA.
        backend: the one that is wanted, or auto.
        lack: what jaccl needs beside cables and does not have, or empty.
    """
    makers = ((JACCL, _jaccl, fast), (JACCL_RING, _jaccl_ring, fast), (RING, _ring, topology))
    found = [make(hosts, cables) for name, make, cables in makers if backend in (AUTO, name)]
    return [
        replace(each, problem=f"{each.backend} {lack}") if lack and not each.problem and each.backend != RING else each for each in found
    ]


def _jaccl(hosts: Sequence[HostNetwork], fast: Topology) -> Choice:
    if len(hosts) > MOST_IN_A_MESH:
        return Choice(JACCL, problem=f"jaccl connects at most {MOST_IN_A_MESH} hosts in a mesh, and these are {len(hosts)}")
    if not fast.mesh:
        return Choice(JACCL, problem="jaccl needs a cable that can carry RDMA between each two hosts")
    size = len(hosts)
    pairs = [(one, other) for one in range(size) for other in range(one + 1, size)]
    return _choice(JACCL, hosts, fast, tuple(range(size)), fast.mesh.width, pairs)


def _jaccl_ring(hosts: Sequence[HostNetwork], fast: Topology) -> Choice:
    if not fast.ring:
        return Choice(JACCL_RING, problem="jaccl-ring needs a ring of cables that can carry RDMA")
    return _along(JACCL_RING, hosts, fast, min(fast.ring.width, MOST_BETWEEN_NEIGHBOURS))


def _ring(hosts: Sequence[HostNetwork], topology: Topology) -> Choice:
    if not topology.ring:
        return Choice(RING, problem=topology.no_ring)
    return _along(RING, hosts, topology, topology.ring.width)


def _along(backend: str, hosts: Sequence[HostNetwork], topology: Topology, width: int) -> Choice:
    order = topology.ring.order if topology.ring else ()
    return _choice(backend, hosts, topology, order, width, [(order[at - 1], order[at]) for at in range(len(order))])


def _choice(
    backend: str, hosts: Sequence[HostNetwork], topology: Topology, order: tuple[int, ...], width: int, pairs: Sequence[tuple[int, int]]
) -> Choice:
    lanes = {frozenset(pair): _best(hosts, topology.between(*pair), width) for pair in pairs}
    used = {cable.identity for lane in lanes.values() for cable in lane}
    cables = tuple(cable for cable in topology.cables if cable.identity in used)
    return Choice(backend, order, width, cables, tuple(lanes.items()))


def _best(hosts: Sequence[HostNetwork], cables: Sequence[Cable], width: int) -> tuple[Cable, ...]:
    """Return the best cables of a pair of hosts, in physical order, but those with active RDMA first.

    A mesh reads only the first device of a cell, and an active one beats any position.
    """
    best = sorted(range(len(cables)), key=lambda at: (not is_active(hosts, cables[at]), -cables[at].speed, at))[:width]
    return tuple(cables[at] for at in sorted(best, key=lambda at: (not is_active(hosts, cables[at]), at)))


def left_neighbour_ips(choice: Choice, links: Sequence[Addressed]) -> Iterator[tuple[str, ...]]:
    """Yield, by rank, its addresses on the cables to the rank before it: there MLX's ring listens."""
    known = {link.cable.identity: link for link in links}
    for at, host in enumerate(choice.order):
        yield tuple(str(known[cable.identity].address(host).ip) for cable in choice.lane(host, choice.order[at - 1]))


def devices(choice: Choice) -> Iterator[tuple[Any, ...]]:
    """Yield, by rank, its RDMA devices to each rank: a name, a list of names, or None."""
    for host in choice.order:
        yield tuple(_cell([f"rdma_{cable.end(host).interface}" for cable in choice.lane(host, other)]) for other in choice.order)


def _cell(names: Sequence[str]) -> Any:
    return None if not names else names[0] if len(names) == 1 else list(names)

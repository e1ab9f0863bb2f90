# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology of cables: rings and meshes that are there, and cables that the next better one lacks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..facts.host import HostNetwork
from .cables import Cable, count_matrix
from .meshes import Mesh, full_mesh, largest_mesh
from .missing import LARGEST_MESH, missing_for_mesh, missing_for_ring, recommended
from .rings import Exactness, Ring, largest_ring, widest_ring


@dataclass(frozen=True)
class Topology:
    """The rings and meshes that some cables make.

    Attributes:
        size: number of hosts.
        cables: those that count, in their order.
    """

    size: int
    cables: tuple[Cable, ...]

    @cached_property
    def matrix(self) -> list[list[int]]:
        """The number of cables between each two hosts."""
        return count_matrix(self.size, self.cables)

    @cached_property
    def ring(self) -> Ring | None:
        """The widest ring over all hosts."""
        return widest_ring(self.matrix, self._exactness)

    @cached_property
    def mesh(self) -> Mesh | None:
        """The mesh of all hosts."""
        return full_mesh(self.matrix)

    @cached_property
    def part_ring(self) -> Ring | None:
        """The largest ring over some hosts, when there is none over all."""
        return None if self.ring else largest_ring(self.matrix, self._exactness)

    @cached_property
    def _exactness(self) -> Exactness:
        return Exactness()

    @property
    def exact(self) -> bool:
        """Whether rings were searched for to the end; otherwise there may be a wider or larger one."""
        _ring, _part = self.ring, self.part_ring
        return self._exactness.exact

    @property
    def no_ring(self) -> str:
        """The text that says that there is none over all hosts."""
        return "the cables make no ring over all hosts" if self.exact else "the search for a ring over all hosts was ended without one"

    @cached_property
    def part_mesh(self) -> Mesh | None:
        """The largest mesh of some hosts, when there is none of all."""
        return None if self.mesh else largest_mesh(self.matrix)

    @cached_property
    def missing(self) -> dict[str, list[tuple[int, int]]]:
        """The pairs of hosts that a cable would help, by the topology that it leads to."""
        if self.size < 2:
            return {}
        found = {}
        # Nothing is missing where one is there and the search for it was ended.
        if not self.ring and (pairs := missing_for_ring(self.matrix)):
            found["ring"] = pairs
        if not self.mesh and (recommended(self.size) == "mesh" or (self.ring and self.size <= LARGEST_MESH)):
            pairs = missing_for_mesh(self.matrix)
            if pairs not in found.values():  # three hosts in a ring are a mesh
                found["mesh"] = pairs
        return found

    def between(self, one: int, other: int) -> list[Cable]:
        """Return the cables between two hosts, in their order."""
        return [cable for cable in self.cables if set(cable.hosts) == {one, other}]


def missing_cables(hosts: Sequence[HostNetwork], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return the texts that name missing cables, and a free port for each end."""
    free = [[port.bus.receptacle for port in host.ports if not port.bus.connected and port.interface] for host in hosts]

    def port(at: int) -> str:
        return f"Thunderbolt {free[at].pop(0)}" if free[at] else "no port is free"

    return [" -- ".join(f"{hosts[at].name} ({port(at)})" for at in pair) for pair in pairs]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cables that are missing for the next better topology. Pure.

Apple recommends a full mesh for two, three and four Macs, and a ring for five (TN3205).
"""

from __future__ import annotations

from .rings import Matrix

_EXACT = 10  # hosts up to which the fewest cables are found for certain
_RECOMMENDED_MESH = 4
LARGEST_MESH = 8  # hosts; jaccl connects no more


def recommended(size: int) -> str:
    """Return the topology that suits so many hosts: mesh or ring."""
    return "mesh" if size <= _RECOMMENDED_MESH else "ring"


def missing_for_mesh(matrix: Matrix) -> list[tuple[int, int]]:
    """Return the pairs of hosts without a cable."""
    size = len(matrix)
    return [(one, other) for one in range(size) for other in range(one + 1, size) if not matrix[one][other]]


def missing_for_ring(matrix: Matrix) -> list[tuple[int, int]]:
    """Return the fewest pairs of hosts that a cable would make a ring of, in the order of hosts."""
    size = len(matrix)
    if size < 2:
        return []
    order = _shortest_tour(matrix) if size <= _EXACT else _near_tour(matrix)
    pairs = {tuple(sorted((order[at - 1], order[at]))) for at in range(size)}
    return sorted((one, other) for one, other in pairs if not matrix[one][other])


def _shortest_tour(matrix: Matrix) -> list[int]:
    """Return a tour with the fewest missing cables: Held and Karp's search, where a cable costs nothing."""
    size = len(matrix)
    full = 1 << size
    best: list[dict[int, tuple[int, int]]] = [{} for _visited in range(full)]  # visited: {last: (cost, the one before)}
    best[1][0] = (0, -1)
    for visited in range(1, full, 2):
        for last, (cost, _before) in best[visited].items():
            for host in range(1, size):
                if not visited >> host & 1:
                    new = cost + (not matrix[last][host])
                    known = best[visited | 1 << host].get(host)
                    if known is None or new < known[0]:
                        best[visited | 1 << host][host] = (new, last)
    visited = full - 1
    last = min(best[visited], key=lambda host: best[visited][host][0] + (not matrix[host][0])) if size > 1 else 0
    tour = []
    while last != -1:
        tour.append(last)
        before = best[visited][last][1]
        visited &= ~(1 << last)
        last = before
    return tour[::-1]


def _near_tour(matrix: Matrix) -> list[int]:
    """Return a tour that follows cables while it can; the host with the fewest ways on goes first."""
    left = set(range(1, len(matrix)))
    tour = [0]
    while left:
        ways = [host for host in left if matrix[tour[-1]][host]] or sorted(left)
        chosen = min(ways, key=lambda host: (sum(1 for other in left if matrix[host][other]), host))
        tour.append(chosen)
        left.discard(chosen)
    return tour

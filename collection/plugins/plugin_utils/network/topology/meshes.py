# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes: sets of hosts in which each has a cable to each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .rings import MOST_STEPS, Matrix


@dataclass(frozen=True)
class Mesh:
    """A mesh: places of its hosts, and the number of cables that every two of them have at least."""

    hosts: tuple[int, ...]
    width: int


def full_mesh(matrix: Matrix) -> Mesh | None:
    """Return the mesh of all hosts, or None."""
    return _mesh(matrix, range(len(matrix)))


def _mesh(matrix: Matrix, hosts: Sequence[int]) -> Mesh | None:
    width = min((matrix[one][other] for one in hosts for other in hosts if one != other), default=0)
    return Mesh(tuple(hosts), width) if width else None


def largest_mesh(matrix: Matrix) -> Mesh | None:
    """Return a mesh of as many hosts as possible, but at least three; of the largest, the first in order."""
    best: tuple[int, ...] = ()
    steps = 0
    # A Mac has at most six or eight ports, so sets grow no larger than that. A recording may have others.
    stack: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), tuple(range(len(matrix))))]
    while stack and steps < MOST_STEPS:
        steps += 1
        chosen, candidates = stack.pop()
        if len(chosen) > max(2, len(best)):
            best = chosen
        if len(chosen) + len(candidates) <= len(best):
            continue
        for at in reversed(range(len(candidates))):
            host = candidates[at]
            stack.append(((*chosen, host), tuple(other for other in candidates[at + 1 :] if matrix[host][other])))
    return _mesh(matrix, best) if best else None


def unequal_pairs(matrix: Matrix) -> list[tuple[int, int]]:
    """Return the pairs of hosts with more cables between them than the pair with the fewest."""
    size = len(matrix)
    pairs = [(one, other) for one in range(size) for other in range(one + 1, size)]
    fewest = min((matrix[one][other] for one, other in pairs), default=0)
    return [(one, other) for one, other in pairs if matrix[one][other] > fewest]

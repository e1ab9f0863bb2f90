# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The widest ring over all hosts, and the largest over some of them. Pure.

A ring of the greatest width is found by looking for any ring among the cables that are at least so wide, from the
greatest width down. Dead ends are remembered by (hosts visited, last host), which bounds the search to 2^n * n steps;
nearly always it goes straight through. It is exact unless it runs out of steps, which it tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[int]]
MOST_STEPS = 300_000  # of one search, a second or two; reached only by networks of far more hosts than have Thunderbolt ports


@dataclass(frozen=True)
class Ring:
    """A ring: places of its hosts in order, the smallest first, and the number of cables between neighbours."""

    order: tuple[int, ...]
    width: int


@dataclass
class Exactness:
    """Whether all searches so far went to their end; one that ran out of steps may have missed a better ring."""

    exact: bool = True


def widest_ring(matrix: Matrix, exactness: Exactness | None = None) -> Ring | None:
    """Return the widest ring over all hosts, or None. Of equally wide ones it is the first in the order of the hosts.

    Args:
        matrix: cables between each two hosts; symmetric.
        exactness: told when the search ran out of steps.
    """
    size = len(matrix)
    if size < 2:
        return None
    widths = sorted({count for row in matrix for count in row if count > 0}, reverse=True)
    for width in widths:
        near = _near(matrix, width)
        # Every width has its share of the steps, so that a narrow ring is found where the search for a wide one is long.
        order = _full_ring(near, MOST_STEPS // len(widths), exactness or Exactness()) if _may_ring(near) else ()
        if order:
            return Ring(order, width)
    return None


def _near(matrix: Matrix, width: int) -> list[int]:
    """Return the neighbours of each host as a bit set."""
    return [sum(1 << other for other, count in enumerate(row) if other != at and count >= width) for at, row in enumerate(matrix)]


def _full_ring(near: Sequence[int], most: int, exactness: Exactness) -> tuple[int, ...]:
    """Return the first ring over all hosts, in the order of places; empty when there is none."""
    everyone = (1 << len(near)) - 1
    dead: set[tuple[int, int]] = set()
    path, visited = [0], 1
    stack = [near[0] & ~visited]
    for _step in range(most):
        if visited == everyone and near[path[-1]] & 1:
            return tuple(path)
        free = stack[-1]
        if not free:
            dead.add((visited, path[-1]))
            stack.pop()
            visited &= ~(1 << path.pop())
            if not stack:
                return ()
            continue
        bit = free & -free
        stack[-1] ^= bit
        host = bit.bit_length() - 1
        if (visited | bit, host) not in dead:
            path.append(host)
            visited |= bit
            stack.append(near[host] & ~visited)
    exactness.exact = False
    return ()


def _may_ring(near: Sequence[int]) -> bool:
    """Return whether a ring over all hosts is not ruled out at a glance; two hosts with a cable are one."""
    everyone = (1 << len(near)) - 1
    if len(near) == 2:
        return bool(near[0])
    # Without any one host, the others still hang together.
    if any(_reached(near, everyone & ~(1 << at)) != everyone & ~(1 << at) for at in range(len(near))):
        return False
    return _most_in_a_ring(near, everyone) == len(near)


def _reached(near: Sequence[int], allowed: int) -> int:
    """Return the allowed hosts that cables connect with the first of them."""
    reached = new = allowed & -allowed
    while new:
        new = _union(near, new) & allowed & ~reached
        reached |= new
    return reached


def _union(near: Sequence[int], hosts: int) -> int:
    found = 0
    for at in _members(hosts):
        found |= near[at]
    return found


def _most_in_a_ring(near: Sequence[int], allowed: int) -> int:
    """Return the most hosts that a ring with the first allowed one can have: of two camps it has as many of each."""
    reached = _reached(near, allowed)
    camps = [allowed & -allowed, 0]
    new, turn = camps[0], 0
    while new:
        turn = 1 - turn
        new = _union(near, new) & allowed & ~camps[turn]
        camps[turn] |= new
    if camps[0] & camps[1]:
        return reached.bit_count()
    return 2 * min(camp.bit_count() for camp in camps)


def largest_ring(matrix: Matrix, exactness: Exactness | None = None) -> Ring | None:
    """Return a ring over as many hosts as possible, but at least three; of the largest, the first in order.

    Args:
        matrix, exactness: as for `widest_ring`.
    """
    near = _near(matrix, 1)
    best: tuple[int, ...] = ()
    steps = 0
    for start in range(len(near)):
        # Rings whose smallest host this is: every (hosts visited, last host) is gone into once.
        allowed = ((1 << len(near)) - 1) & ~((1 << start) - 1)
        most = _most_in_a_ring(near, allowed)
        seen: set[tuple[int, int]] = set()
        stack: list[tuple[tuple[int, ...], int]] = [((start,), 1 << start)]
        while stack and steps < MOST_STEPS and len(best) < most:
            path, visited = stack.pop()
            if len(path) > max(2, len(best)) and near[path[-1]] >> start & 1:
                best = path
            for host in reversed(_members(near[path[-1]] & allowed & ~visited)):
                steps += 1
                if (visited | 1 << host, host) not in seen:
                    seen.add((visited | 1 << host, host))
                    stack.append(((*path, host), visited | 1 << host))
    if exactness and steps >= MOST_STEPS:
        exactness.exact = False
    if not best:
        return None
    return Ring(best, min(matrix[best[at - 1]][best[at]] for at in range(len(best))))


def _members(bits: int) -> list[int]:
    found = []
    while bits:
        bit = bits & -bits
        found.append(bit.bit_length() - 1)
        bits ^= bit
    return found

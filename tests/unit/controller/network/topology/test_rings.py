"""The widest ring, and the largest; beside a search through all orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.rings import (
    Exactness,
    Matrix,
    Ring,
    largest_ring,
    widest_ring,
)


def matrix_of(size: int, cables: dict[tuple[int, int], int]) -> list[list[int]]:
    return [[cables.get((one, other), cables.get((other, one), 0)) for other in range(size)] for one in range(size)]


def full(size: int) -> list[list[int]]:
    return [[int(one != other) for other in range(size)] for one in range(size)]


def halves(one: int, other: int) -> list[list[int]]:
    """Return two halves of hosts, each with a cable to all of the other."""
    return [[int((at < one) != (to < one)) for to in range(one + other)] for at in range(one + other)]


def two_meshes(size: int) -> list[list[int]]:
    """Return two meshes without a cable between them, and one more host."""
    return [[int(one != other and one // size == other // size) for other in range(2 * size + 1)] for one in range(2 * size + 1)]


def widened(matrix: list[list[int]]) -> list[list[int]]:
    """Return a matrix of 1 to 17 cables in the place of each."""
    return [[count * (1 + (one + other) % 17) for other, count in enumerate(row)] for one, row in enumerate(matrix)]


def add(matrix: list[list[int]], one: int, other: int) -> list[list[int]]:
    """Return a matrix with one more cable."""
    new = [list(row) for row in matrix]
    new[one][other] = new[other][one] = 1
    return new


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    size = draw(st.integers(2, 6))
    pairs = list(combinations(range(size), 2))
    return matrix_of(size, dict(zip(pairs, draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))), strict=True)))


def all_rings(matrix: Matrix, hosts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for rest in permutations(hosts[1:]):
        order = (hosts[0], *rest)
        width = min(matrix[order[at - 1]][order[at]] for at in range(len(order)))
        if width:
            yield width, len(order)


@settings(deadline=None, max_examples=50)
@given(matrices())
def test_widest_ring_is_the_widest_of_all_orders(matrix: list[list[int]]) -> None:
    best = max(all_rings(matrix, tuple(range(len(matrix)))), default=(0, 0))[0]
    found = widest_ring(matrix)
    assert (found.width if found else 0) == best
    if found:
        assert sorted(found.order) == list(range(len(matrix)))
        assert min(matrix[found.order[at - 1]][found.order[at]] for at in range(len(matrix))) == found.width


@settings(deadline=None, max_examples=50)
@given(matrices())
def test_largest_ring_is_the_largest_of_all_sets(matrix: list[list[int]]) -> None:
    sets = (hosts for count in range(3, len(matrix) + 1) for hosts in combinations(range(len(matrix)), count))
    best = max((size for hosts in sets for _width, size in all_rings(matrix, hosts)), default=0)
    found = largest_ring(matrix)
    assert (len(found.order) if found else 0) == best


def test_first_host_stays_first_and_the_order_of_hosts_is_kept_where_it_can_be() -> None:
    assert widest_ring(full(5)) == Ring((0, 1, 2, 3, 4), 1)


def test_wider_order_of_the_same_hosts_is_found() -> None:
    # 0-1-2-3 is 1 wide, 0-2-1-3 is 2 wide: only one order of a set of hosts is the widest.
    matrix = matrix_of(4, {(0, 1): 1, (2, 3): 1, (0, 2): 2, (1, 2): 2, (1, 3): 2, (0, 3): 2})
    assert widest_ring(matrix) == Ring((0, 2, 1, 3), 2)


@pytest.mark.parametrize("size", [0, 1])
def test_one_host_is_no_ring(size: int) -> None:
    assert (widest_ring(full(size)), largest_ring(full(size))) == (None, None)


def test_two_hosts_are_a_ring_as_wide_as_their_cables() -> None:
    assert widest_ring(matrix_of(2, {(0, 1): 3})) == Ring((0, 1), 3)


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("mesh of 8", full(8)),
        ("mesh of 16", full(16)),
        ("star of 16", matrix_of(16, {(0, at): 1 for at in range(1, 16)})),
        ("two halves of 15 without a ring", halves(7, 8)),
        ("two halves of 64 without a ring", halves(31, 33)),
        ("two halves of 64 with one more cable", add(halves(31, 33), 62, 63)),
        ("two halves of 64 with one more cable, of many widths", add(widened(halves(31, 33)), 62, 63)),
        ("two meshes of 32 with a host between", add(add(two_meshes(32), 0, 64), 32, 64)),
        ("ring of 64", matrix_of(64, {(at, (at + 1) % 64): 2 for at in range(64)})),
    ],
)
def test_search_ends_soon(name: str, matrix: list[list[int]]) -> None:
    started = time.process_time()
    widest_ring(matrix) or largest_ring(matrix)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "matrix", [halves(31, 33), add(add(two_meshes(32), 0, 64), 32, 64), matrix_of(64, {(at, 63): 1 for at in range(63)})]
)
def test_what_a_glance_rules_out_takes_no_search(matrix: list[list[int]]) -> None:
    exactness, started = Exactness(), time.process_time()
    assert widest_ring(matrix, exactness) is None
    assert exactness.exact
    assert time.process_time() - started < 1


def test_search_that_ran_out_of_steps_says_so_and_narrow_rings_have_their_share() -> None:
    matrix = add(halves(31, 33), 62, 63)
    exactness = Exactness()
    assert widest_ring(matrix, exactness) is None
    assert not exactness.exact
    wide = [[3 * count for count in row] for row in matrix]
    for at in range(64):
        wide[at][(at + 1) % 64] = wide[(at + 1) % 64][at] = wide[at][(at + 1) % 64] or 1
    exactness = Exactness()
    assert widest_ring(wide, exactness) == Ring(tuple(range(64)), 1)
    assert not exactness.exact


def test_search_in_a_mesh_of_8_takes_no_tenth_of_a_second() -> None:
    started = time.process_time()
    assert widest_ring(full(8)) == Ring(tuple(range(8)), 1)
    assert time.process_time() - started < 0.1

"""The cables that are missing."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.missing import (
    missing_for_mesh,
    missing_for_ring,
    recommended,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.rings import widest_ring


@pytest.mark.parametrize(("size", "topology"), [(2, "mesh"), (4, "mesh"), (5, "ring"), (8, "ring")])
def test_recommendation_is_apples(size: int, topology: str) -> None:
    assert recommended(size) == topology


def chain(size: int) -> list[list[int]]:
    return [[int(abs(one - other) == 1) for other in range(size)] for one in range(size)]


@pytest.mark.parametrize("size", [3, 5, 8, 10, 11, 16])
def test_chain_lacks_the_cable_between_its_ends(size: int) -> None:
    assert missing_for_ring(chain(size)) == [(0, size - 1)]


def test_mesh_lacks_each_pair_without_a_cable() -> None:
    assert missing_for_mesh(chain(4)) == [(0, 2), (0, 3), (1, 3)]


@pytest.mark.parametrize("size", [0, 1])
def test_one_host_lacks_nothing(size: int) -> None:
    assert missing_for_ring(chain(size)) == []


def added(matrix: list[list[int]], pairs: tuple[tuple[int, int], ...]) -> list[list[int]]:
    return [
        [count or int((one, other) in pairs or (other, one) in pairs) for other, count in enumerate(row)] for one, row in enumerate(matrix)
    ]


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 5).flatmap(lambda n: st.lists(st.booleans(), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2)))
def test_fewest_cables_make_a_ring(there: list[bool]) -> None:
    size = next(n for n in (3, 4, 5) if n * (n - 1) // 2 == len(there))
    pairs = list(combinations(range(size), 2))
    present = {pair for pair, is_there in zip(pairs, there, strict=True) if is_there}
    matrix = [[int((min(one, other), max(one, other)) in present) for other in range(size)] for one in range(size)]
    missing = missing_for_ring(matrix)
    assert widest_ring(added(matrix, tuple(missing)))
    assert not any(widest_ring(added(matrix, fewer)) for fewer in combinations(pairs, max(0, len(missing) - 1)) if missing)

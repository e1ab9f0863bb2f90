"""Meshes, whole and in part."""

from __future__ import annotations

import time

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.meshes import Mesh, full_mesh, largest_mesh, unequal_pairs

SQUARE = [[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1], [1, 0, 1, 0]]  # no cable between 1 and 3


def test_mesh_is_as_wide_as_the_pair_with_the_fewest_cables() -> None:
    assert full_mesh([[0, 2, 2], [2, 0, 3], [2, 3, 0]]) == Mesh((0, 1, 2), 2)
    assert full_mesh(SQUARE) is None


@pytest.mark.parametrize("matrix", [[], [[0]]])
def test_one_host_is_no_mesh(matrix: list[list[int]]) -> None:
    assert (full_mesh(matrix), largest_mesh(matrix)) == (None, None)


def test_largest_mesh_is_the_first_of_the_largest() -> None:
    assert largest_mesh(SQUARE) == Mesh((0, 1, 2), 1)
    assert largest_mesh([[0, 1], [1, 0]]) is None


def test_search_in_a_stranger_s_network_comes_to_its_end() -> None:
    """64 hosts, of which each has a cable to all but one: no Mac has so many ports, and a recording may say so."""
    matrix = [[int(one // 2 != other // 2) for other in range(64)] for one in range(64)]
    begun = time.monotonic()
    found = largest_mesh(matrix)
    assert found
    assert len(found.hosts) > 8
    assert time.monotonic() - begun < 60


def test_pairs_with_more_cables_than_the_fewest() -> None:
    assert unequal_pairs([[0, 2, 1], [2, 0, 1], [1, 1, 0]]) == [(0, 1)]
    assert unequal_pairs([[0]]) == []

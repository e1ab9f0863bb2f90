"""What cables make together."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology import rings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.topology import missing_cables
from tests.unit.macs import kinds, macs, mesh, ring


def test_ring_of_four_lacks_two_cables_to_a_mesh() -> None:
    plan = ring(4).plan()
    assert plan.topology.ring is not None
    assert plan.topology.missing == {"mesh": [(0, 2), (1, 3)]}


def test_ring_of_more_hosts_than_a_mesh_can_have_lacks_nothing() -> None:
    assert list(ring(8).plan().topology.missing) == ["mesh"]
    assert ring(9).plan().topology.missing == {}


def test_five_hosts_without_a_ring_lack_a_ring_first() -> None:
    assert list(macs(5).cable("a1", "b1").plan(over="thunderbolt").topology.missing) == ["ring"]


def test_mesh_lacks_nothing() -> None:
    assert mesh(4).plan().topology.missing == {}


def test_missing_cables_name_free_ports_each_once() -> None:
    plan = macs(3, ports=2).cable("a1", "b1").plan(over="thunderbolt")
    assert missing_cables(plan.hosts, [(0, 2), (1, 2), (0, 1)]) == [
        "a (Thunderbolt 2) -- c (Thunderbolt 1)",
        "b (Thunderbolt 2) -- c (Thunderbolt 2)",
        "a (no port is free) -- b (no port is free)",
    ]


def test_search_that_was_ended_is_told_and_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "MOST_STEPS", 3)
    cluster = ring(5)
    plan = cluster.plan(over="thunderbolt")
    assert plan.problem.startswith("the search for a ring over all hosts was ended without one")
    assert "search" in kinds(plan)
    assert plan.topology.missing == {}
    monkeypatch.undo()
    assert "search" not in kinds(cluster.plan())


def test_part_of_a_topology_is_told_when_the_whole_is_not_there() -> None:
    topology = macs(4).cable("a1", "b1").cable("b2", "c1").cable("a2", "c2").plan().topology
    assert (topology.ring, topology.mesh) == (None, None)
    assert topology.part_ring is not None
    assert topology.part_mesh is not None
    assert (topology.part_ring.order, topology.part_mesh.hosts) == ((0, 1, 2), (0, 1, 2))

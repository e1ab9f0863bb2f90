"""The backends that cables allow."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.rdma_rules import can_rdma
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.subnets import address_cables
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.thunderbolt import Choice, choices, devices, left_neighbour_ips
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.cables import find_cables
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.topology import Topology
from tests.unit.macs import Cluster, macs, mesh, ring


def made(cluster: Cluster, backend: str = "auto") -> list[Choice]:
    hosts = [host_network(name, answers) for name, answers in cluster.answers().items()]
    cables = tuple(find_cables(hosts).usable)
    fast = tuple(cable for cable in cables if can_rdma(hosts, cable))
    return choices(hosts, Topology(len(hosts), cables), Topology(len(hosts), fast), backend)


def test_mesh_with_rdma_is_best_then_a_ring_with_it_then_one_without() -> None:
    assert [(each.backend, bool(each.problem)) for each in made(mesh(4, rdma=True))] == [
        ("jaccl", False),
        ("jaccl-ring", False),
        ("ring", False),
    ]
    assert [(each.backend, bool(each.problem)) for each in made(ring(4, rdma=True))] == [
        ("jaccl", True),
        ("jaccl-ring", False),
        ("ring", False),
    ]
    assert [(each.backend, bool(each.problem)) for each in made(mesh(4))] == [("jaccl", True), ("jaccl-ring", True), ("ring", False)]


def test_mesh_has_at_most_eight_hosts() -> None:
    assert made(mesh(8, ports=8, rdma=True), "jaccl")[0].problem == ""
    assert made(mesh(9, ports=9, rdma=True), "jaccl")[0].problem == "jaccl connects at most 8 hosts in a mesh, and these are 9"


def test_ring_with_rdma_is_at_most_four_wide() -> None:
    cluster = macs(2, rdma=True)
    for port in range(1, 7):
        cluster.cable(f"a{port}", f"b{port}")
    (with_rdma,), (without,) = made(cluster, "jaccl-ring"), made(cluster, "ring")
    assert (with_rdma.width, len(with_rdma.cables), without.width) == (4, 4, 6)


def test_both_sides_list_the_cables_of_a_pair_alike() -> None:
    cluster = macs(3, rdma=True).cable("a1", "b2").cable("a2", "b1").cable("b3", "c1").cable("b4", "c2").cable("c3", "a3").cable("c4", "a4")
    (choice,) = made(cluster, "jaccl")
    rows = list(devices(choice))
    assert rows[0] == (None, ["rdma_en2", "rdma_en3"], ["rdma_en4", "rdma_en5"])
    assert rows[1] == (["rdma_en3", "rdma_en2"], None, ["rdma_en4", "rdma_en5"])


def test_active_cable_goes_before_its_position() -> None:
    cluster = macs(2, rdma=True).cable("a1", "b1").cable("a2", "b2")
    cluster["a"].states = {"en2": "PORT_DOWN"}
    assert next(devices(made(cluster, "jaccl")[0]))[1] == ["rdma_en3", "rdma_en2"]


def test_faster_cable_is_taken_when_one_is_enough() -> None:
    cluster = ring(3).cable("a3", "b3", speed="120 Gb/s")
    (choice,) = made(cluster, "ring")
    assert [cable.ends[0].interface for cable in choice.lane(0, 1)] == ["en4"]


def test_ring_listens_on_the_cables_to_the_rank_before() -> None:
    cluster = macs(2).cable("a1", "b1").cable("a2", "b2")
    hosts = [host_network(name, answers) for name, answers in cluster.answers().items()]
    (choice,) = made(cluster, "ring")
    assert list(left_neighbour_ips(choice, address_cables(hosts, choice.cables))) == [
        ("10.213.64.1", "10.213.64.5"),
        ("10.213.64.2", "10.213.64.6"),
    ]

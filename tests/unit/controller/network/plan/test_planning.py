"""The plan of a network: each fault of mlx.distributed_config that it does not repeat, and each hard rule.

The rules are those of MLX (mlx/distributed/jaccl/lib/jaccl), of Apple's TN3205, and of reports that the code names.
"""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.rdma import check_rdma
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.plan import Plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.planning import plan_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from tests.unit.macs import Cluster, kinds, macs, mesh, ring


def assert_fits_mlx(plan: Plan) -> None:
    """A hostfile that MLX cannot use makes a silent world of one."""
    assert plan.problem == ""
    assert sorted(plan.order) == list(range(len(plan.hosts)))
    assert len(plan.ips) == len(plan.rdma) == len(plan.hosts)
    assert len({ip for ips in plan.ips for ip in ips}) == sum(map(len, plan.ips))
    if plan.backend in ("jaccl", "jaccl-ring"):
        check_rdma(plan.rdma, [plan.hosts[at].name for at in plan.order], plan.backend)
    for rank, ips in enumerate(plan.ips):
        assert len(ips) == (plan.width if plan.backend == "ring" else 1), rank


@pytest.mark.parametrize(
    ("cluster", "backend", "cables"),
    [
        (ring(2), "ring", 1),
        (ring(4), "ring", 4),
        (ring(3, rdma=True), "jaccl", 3),
        (mesh(4, rdma=True), "jaccl", 6),
        (ring(5, rdma=True), "jaccl-ring", 5),
        (mesh(8, ports=8, rdma=True), "jaccl", 28),
        (mesh(9, ports=9, rdma=True), "jaccl-ring", 9),
        (macs(2, rdma=True).cable("a1", "b1").cable("a2", "b2"), "jaccl", 2),
        (macs(2).cable("a1", "b1").cable("a2", "b2"), "ring", 2),
        (macs(3), "ring", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_best_backend_is_chosen_and_its_hostfile_fits_mlx(cluster: Cluster, backend: str, cables: int) -> None:
    plan = cluster.plan()
    assert_fits_mlx(plan)
    assert (plan.backend, len(plan.links), plan.over) == (backend, cables, "thunderbolt" if cables else "ethernet")


# -- faults of the original, by what they are


def test_mac_behind_a_dock_that_one_side_does_not_see_has_its_cable() -> None:
    plan = macs(2).cable("a1", "b2", seen_from="a", through=("Flex 8",), speed="40 Gb/s").plan(over="thunderbolt")
    assert_fits_mlx(plan)
    assert plan.topology.matrix == [[0, 1], [1, 0]]
    assert "one_sided" in kinds(plan)


@pytest.mark.parametrize("what", ["without_tag", "without_interface"])
def test_port_that_lacks_number_or_interface_is_named_and_the_others_are_used(what: str) -> None:
    cluster = ring(3).cable("a3", "b3")
    setattr(cluster["a"], what, (3,))
    plan = cluster.plan()
    assert_fits_mlx(plan)
    assert {"no_interface"} <= kinds(plan)


def test_port_is_taken_out_of_the_bridge_and_the_bridge_stays() -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].bridge = ("en2", "en5")
    plan = cluster.plan()
    assert ("bridged" in kinds(plan), plan.links[0].kept) == (True, False)


def test_addresses_stay_over_runs_whatever_the_names_of_interfaces_do() -> None:
    cluster = ring(3)
    first = cluster.plan()
    for link in first.links:
        for end, address in zip(link.cable.ends, link.addresses, strict=True):
            cluster.macs[end.host].addresses[end.interface] = str(address)
    second = cluster.plan()
    assert [link.addresses for link in second.links] == [link.addresses for link in first.links]
    assert all(link.kept for link in second.links)


def test_networks_of_home_and_vpn_are_left_alone() -> None:
    cluster = ring(3)
    for at, mac in enumerate(cluster.macs):
        mac.addresses["en0"] = f"192.168.0.{at + 10}/24"
    cluster["b"].routes = "10.213/16   10.8.0.1   UGSc   utun4\n"
    plan = cluster.plan()
    used = {address.network for link in plan.links for address in link.addresses}
    assert all(str(network).startswith("10.187.") for network in used)


def test_each_cable_tells_whether_its_addresses_are_there() -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].addresses["en2"] = "10.213.64.1/30"
    assert [link.kept for link in cluster.plan().links] == [False]  # one side alone is not set up


@pytest.mark.parametrize("speed", ["40 Gb/s", "Up to 120 Gb/s"])
def test_rdma_is_judged_by_the_link_and_not_by_device_names(speed: str) -> None:
    plan = macs(2, rdma=True).cable("a1", "b1", speed=speed).plan()
    assert (plan.backend, "rdma_speed" in kinds(plan)) == ("ring", True)


def test_rdma_on_one_side_only_is_no_rdma() -> None:
    cluster = macs(2, rdma=True).cable("a1", "b1")
    cluster["b"].rdma = False
    cluster["b"].answers["ibv_devices.txt"] = cluster.answers()["a"].texts["ibv_devices.txt"]
    plan = cluster.plan()
    assert (plan.backend, "rdma_far_side" in kinds(plan)) == ("ring", True)


def test_widest_order_of_the_hosts_is_taken() -> None:
    cluster = macs(4, ports=8)
    for ends in (("a1", "b1"), ("c1", "d1"), ("a2", "c2"), ("a3", "c3"), ("b2", "c4"), ("b3", "c5"), ("b4", "d2"), ("b5", "d3")):
        cluster.cable(*ends)
    cluster.cable("a4", "d4").cable("a5", "d5")
    plan = cluster.plan()
    assert (plan.order, plan.width) == ((0, 2, 1, 3), 2)
    assert_fits_mlx(plan)


def test_rank_0_stays_and_a_new_order_is_told() -> None:
    plan = macs(3).cable("a1", "c1").cable("c2", "b1").cable("b2", "a2").plan()
    assert plan.order == (0, 1, 2)
    plan = macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2").plan()
    assert (plan.order[0], "order" in kinds(plan)) == (0, True)


def test_ring_of_some_hosts_is_offered_with_the_command_that_takes_it() -> None:
    plan = macs(4).cable("a1", "b1").cable("b2", "c1").cable("c2", "a2").plan(over="thunderbolt")
    assert plan.problem == (
        "the cables make no ring over all hosts; add a (Thunderbolt 3) -- d (Thunderbolt 1), c (Thunderbolt 3) -- d (Thunderbolt 2); "
        "a ring of 3 is there, to use with --limit or --hosts: a,b,c"
    )


def test_only_cables_that_are_used_get_addresses() -> None:
    plan = mesh(4).plan()
    assert (len(plan.cabling.cables), len(plan.links)) == (6, 4)


def test_unequal_numbers_of_cables_give_each_pair_the_same_and_say_so() -> None:
    plan = ring(3, rdma=True).cable("a3", "b3").plan()
    assert_fits_mlx(plan)
    assert [type(cell) for cell in plan.rdma[0]] == [type(None), str, str]
    assert {"unequal", "unused"} <= kinds(plan)


def test_host_that_hangs_does_not_keep_the_others_from_being_shown() -> None:
    answers = {**ring(3).answers(), "d": HostAnswers(failure="no answer within 30 s")}
    hosts = [host_network(name, each) for name, each in answers.items()]
    plan = plan_network(hosts, check_wishes({}))
    assert (len(plan.links), plan.failing, plan.problem) == (3, True, "")
    assert not plan_network(hosts, check_wishes({"ignore_unreachable": True})).failing


def test_coordinator_has_an_address_that_all_reach() -> None:
    cluster = mesh(3, rdma=True)
    cluster["a"].answers["hardware_ports.txt"] = (
        cluster.answers()["a"].texts["hardware_ports.txt"].replace("Port: Ethernet", "Port: Wi-Fi", 1)
    )
    cluster["a"].addresses = {"en0": "10.1.0.5/24", "en9": "198.18.0.1/24"}
    cluster["a"].answers["hardware_ports.txt"] += "Hardware Port: USB LAN\nDevice: en9\n"
    assert cluster.plan().ips[0] == ("198.18.0.1",)


def test_second_cable_is_used_by_a_ring_that_is_as_wide() -> None:
    cluster = ring(3).cable("a3", "b3").cable("b4", "c3").cable("c4", "a4")
    plan = cluster.plan()
    assert (plan.width, [len(ips) for ips in plan.ips]) == (2, [2, 2, 2])
    assert "unused" not in kinds(plan)


@pytest.mark.parametrize(
    "answers",
    [
        {"owners.txt": "/Library/LaunchDaemons/io.exo.networksetup.plist\n"},
        {"sharing_enabled.txt": "1\n", "sharing_devices.json": '["en2"]'},
        {"bridge_lease.txt": "op = BOOTREPLY\n"},
    ],
)
def test_other_owners_of_the_ports_are_noticed(answers: dict[str, str]) -> None:
    cluster = ring(3)
    cluster["a"].answers = answers
    assert {"owner", "sharing", "dhcp"} & kinds(cluster.plan())


# -- hard rules


@pytest.mark.parametrize("version", ["26.1", "15.7"])
def test_rdma_needs_a_new_macos_on_both_ends(version: str) -> None:
    cluster = ring(3, rdma=True)
    cluster["c"].version = version
    assert cluster.plan().backend == "ring"


def test_port_that_is_down_is_tried_and_an_active_one_goes_first() -> None:
    cluster = macs(2, rdma=True).cable("a1", "b1").cable("a2", "b2")
    cluster["a"].states = {"en2": "PORT_DOWN"}
    plan = cluster.plan(backend="jaccl")
    assert plan.rdma[0][1] == ["rdma_en3", "rdma_en2"]
    assert "port_down" in kinds(plan)


def test_every_rdma_port_has_one_address_although_its_traffic_is_no_ip() -> None:
    plan = mesh(3, rdma=True).plan()
    assert len(plan.links) == 3
    cluster = mesh(3, rdma=True)
    cluster["a"].addresses["en2"] = "10.1.1.1/24 10.1.2.1/24"
    assert "several_addresses" in kinds(cluster.plan())


def test_nine_hosts_are_no_mesh_and_five_cables_no_lane() -> None:
    assert "at most 8 hosts" in mesh(9, ports=9, rdma=True).plan(backend="jaccl").problem
    cluster = macs(2, rdma=True)
    for port in range(1, 6):
        cluster.cable(f"a{port}", f"b{port}")
    assert len(cluster.plan(backend="jaccl-ring").links) == 4


def test_no_two_cables_share_a_subnet() -> None:
    plan = mesh(4, rdma=True).plan()
    assert len({link.addresses[0].network for link in plan.links}) == len(plan.links)


def test_cables_of_a_pair_have_one_order_on_both_sides_whatever_their_interfaces() -> None:
    plan = macs(2, ports=9, rdma=True).cable("a9", "b1").cable("a1", "b9").plan(backend="jaccl")
    assert (plan.rdma[0][1], plan.rdma[1][0]) == (["rdma_en2", "rdma_en10"], ["rdma_en10", "rdma_en2"])


def test_bridges_over_a_loop_are_a_warning() -> None:
    cluster = ring(3)
    for mac in cluster.macs:
        mac.bridge = ("en2", "en3")
    assert "bridge_loop" in kinds(cluster.plan())


def test_studio_port_and_different_builds_are_told() -> None:
    cluster = ring(3, rdma=True)
    cluster["a"].build = "25C5037j"
    assert {"versions", "studio_port"} <= kinds(cluster.plan())


def test_macs_that_sleep_or_stay_locked_are_told() -> None:
    cluster = ring(3)
    cluster["a"].answers = {"power.txt": " sleep 1\n autorestart 0\n", "filevault.txt": "FileVault is On.\n"}
    assert {"sleep", "autorestart", "filevault"} <= kinds(cluster.plan())


# -- wishes


@pytest.mark.parametrize(
    ("cluster", "wishes", "text"),
    [
        (macs(1), {}, "a network needs two hosts, and here is one"),
        (macs(2), {"over": "thunderbolt"}, "no Thunderbolt cable connects two of these hosts"),
        (macs(2), {"over": "ethernet", "interface": "en7"}, "a has no IPv4 address on en7"),
        (ring(4), {"require": "mesh"}, "no mesh of all hosts; add a (Thunderbolt 3) -- c (Thunderbolt 3)"),
        (
            macs(3).cable("a1", "b1"),
            {"require": "ring"},
            "the cables make no ring over all hosts; add a (Thunderbolt 2) -- c (Thunderbolt 1)",
        ),
        (ring(4, rdma=True), {"backend": "jaccl"}, "jaccl needs a cable that can carry RDMA between each two hosts; add "),
        (ring(4), {"backend": "jaccl-ring"}, "jaccl-ring needs a ring of cables that can carry RDMA"),
        (ring(3), {"subnet": "198.18.0.0/16"}, "--subnet 198.18.0.0/16 is in use: a has 198.18.0.1/24 on en0"),
        (ring(3), {"subnet": "10.9.0.0/30"}, "--subnet 10.9.0.0/30 is too small"),
        (
            mesh(3, rdma=True, addresses={"en0": "192.0.2.9/24"}),
            {"backend": "jaccl"},
            "jaccl needs an address of rank 0 that all hosts reach outside of the cables: a and b have the same IPv4 address",
        ),
        (
            ring(5, rdma=True, addresses={"en0": "169.254.0.1/16"}),
            {"backend": "jaccl-ring"},
            "jaccl-ring needs an address of rank 0 that all hosts reach outside of the cables: a has no IPv4 address",
        ),
    ],
)
def test_wish_that_cannot_be_met_is_one_line(cluster: Cluster, wishes: dict[str, Any], text: str) -> None:
    plan = cluster.plan(**wishes)
    assert plan.problem.startswith(text)
    assert (plan.failing, "\n" in plan.problem) == (True, False)


@pytest.mark.parametrize("over", ["auto", "thunderbolt"])
@pytest.mark.parametrize("cluster", [ring(2, rdma=True), ring(5, rdma=True)])
def test_ring_is_taken_where_jaccl_has_no_address_for_its_coordinator(cluster: Cluster, over: str) -> None:
    for mac in cluster.macs:
        mac.addresses = {"en0": "169.254.0.1/16"}
    plan = cluster.plan(over=over)
    assert_fits_mlx(plan)
    assert (plan.backend, plan.over, [each.kind for each in plan.findings if "address" in each.text]) == (
        "ring",
        "thunderbolt",
        ["no_coordinator"],
    )
    assert "no_coordinator" not in kinds(cluster.plan(over=over, backend="ring"))


def test_obstacles_fail_only_whoever_asks_for_rdma() -> None:
    cluster = macs(2).cable("a1", "b1")
    levels = [{each.level for each in cluster.plan(**wishes).findings} for wishes in ({"backend": "jaccl"}, {}, {"backend": "ring"})]
    assert levels == [{"fail"}, {"note"}, set()]


def test_sixteen_hosts_in_a_star_are_no_ring_and_say_so() -> None:
    cluster = macs(16, ports=9)
    for at in range(1, 10):
        cluster.cable(f"a{at}", f"{chr(97 + at)}1")
    plan = cluster.plan(over="thunderbolt")
    assert plan.problem.startswith("the cables make no ring over all hosts; add ")


def test_no_host_could_be_asked() -> None:
    plan = plan_network([host_network("a", HostAnswers(failure="gone"))], check_wishes({}))
    assert plan.problem == "a network needs two hosts, and here is none that could be asked"


def test_hosts_of_mixed_systems_meet_over_ethernet() -> None:
    info = '[{"ifname": "eth0", "addr_info": [{"family": "inet", "local": "198.18.0.77", "prefixlen": 24}]}]'
    answers = {**macs(2).cable("a1", "b1").answers(), "box": HostAnswers("Linux", {"ip_addr.json": info, "ip_route.json": "[]"})}
    plan = plan_network([host_network(name, each) for name, each in answers.items()], check_wishes({}))
    assert (plan.over, plan.ips[2]) == ("ethernet", ("198.18.0.77",))
    assert_fits_mlx(plan)

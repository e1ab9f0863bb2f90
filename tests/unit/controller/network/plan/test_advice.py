"""Advice on a plan, each by what asks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.plan import Plan
from tests.unit.macs import Cluster, macs, mesh, ring


def found(plan: Plan, kind: str) -> list[tuple[str, str, str]]:
    return [(each.level, each.host, each.interface) for each in plan.findings if each.kind == kind]


def text(plan: Plan, kind: str) -> str:
    return next(each.text for each in plan.findings if each.kind == kind)


def answers(name: str, **texts: str) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        cluster[name].answers = {f"{key}.txt": value for key, value in texts.items()}

    return change


def bridged(cluster: Cluster) -> None:
    for mac in cluster.macs:
        mac.bridge = ("en2", "en3")


def in_bridge(cluster: Cluster) -> None:
    cluster["a"].bridge = ("en2",)


def two_addresses(cluster: Cluster) -> None:
    cluster["a"].addresses["en2"] = "10.1.1.1/24 10.1.2.1/24"


def tunnel(route: str) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        cluster["c"].routes = f"{route}   10.8.0.1   UGSc   utun4\n"

    return change


def down(cluster: Cluster) -> None:
    cluster["b"].states = {"en2": "PORT_DOWN"}


def beta(cluster: Cluster) -> None:
    cluster["b"].build = "25C5037j"


def sharing(cluster: Cluster) -> None:
    cluster["b"].answers = {"sharing_enabled.txt": "1\n", "sharing_devices.json": '["en2","en9"]'}


EXO = "/Library/LaunchDaemons/io.exo.networksetup.plist\n"


@pytest.mark.parametrize(
    ("change", "kind", "expected"),
    [
        (bridged, "bridge_loop", [("warn", "", "")]),
        (in_bridge, "bridged", [("warn", "a", "en2")]),
        (two_addresses, "several_addresses", [("warn", "a", "en2")]),
        (tunnel("default"), "vpn", [("warn", "c", "utun4")]),
        (tunnel("0/1"), "vpn", [("warn", "c", "utun4")]),
        (answers("a", owners=EXO), "owner", [("warn", "a", "")]),
        (answers("a", location="exo\n"), "owner", [("warn", "a", "")]),
        (answers("a", owners="/Applications/Tailscale.app\n"), "owner", [("note", "a", "")]),
        (sharing, "sharing", [("warn", "b", "en2")]),
        (answers("b", bridge_lease="op = BOOTREPLY\n"), "dhcp", [("warn", "b", "bridge0")]),
        (answers("b", power=" sleep  10\n"), "sleep", [("warn", "b", "")]),
        (answers("b", power=" autorestart  0\n"), "autorestart", [("note", "b", "")]),
        (answers("b", filevault="FileVault is On.\n"), "filevault", [("note", "b", "")]),
        (down, "port_down", [("warn", "b", "en2")]),
        (beta, "versions", [("warn", "", "")]),
    ],
)
def test_advice_is_given_where_it_is_due(change: Callable[[Cluster], None], kind: str, expected: list[tuple[str, str, str]]) -> None:
    cluster = ring(4, rdma=True)
    assert found(cluster.plan(), kind) == []
    change(cluster)
    assert found(cluster.plan(), kind) == expected


def test_bridges_without_a_loop_do_not_storm() -> None:
    cluster = macs(3).cable("a1", "b1").cable("b2", "c1")
    for mac in cluster.macs:
        mac.bridge = ("en2", "en3")
    assert found(cluster.plan(over="thunderbolt"), "bridge_loop") == []


def test_command_that_takes_a_port_out_of_a_bridge_is_given() -> None:
    cluster = ring(3)
    in_bridge(cluster)
    assert "sudo ifconfig bridge0 deletem en2" in text(cluster.plan(), "bridged")


def test_new_order_of_ranks_is_told_and_the_first_stays() -> None:
    plan = macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2").plan()
    assert plan.order == (0, 2, 1, 3)
    assert text(plan, "order") == "ranks go round the ring in another order than the list of hosts: a, c, b, d; rank 0 stays a"


def test_cables_that_are_not_used_are_named() -> None:
    assert text(ring(3).cable("a3", "b3").plan(), "unused") == "ring does not use 1 of 4 cables: a en4 -- b"


def test_pairs_with_more_cables_than_a_mesh_uses_are_named() -> None:
    plan = ring(3, rdma=True).cable("a3", "b3").plan()
    assert plan.backend == "jaccl"
    assert "more are between a -- b" in text(plan, "unequal")


def test_studios_hear_of_the_port_next_to_ethernet() -> None:
    assert found(mesh(3, rdma=True).plan(), "studio_port") == [("note", "", "")]
    assert found(mesh(3, rdma=True, model="Mac17,7").plan(), "studio_port") == []


def test_missing_cables_are_named_with_ports() -> None:
    assert text(macs(3).cable("a1", "b1").cable("b2", "c1").plan(), "missing_for_ring") == (
        "for a ring, add a (Thunderbolt 2) -- c (Thunderbolt 2)"
    )


def test_macs_without_cables_get_no_advice_about_them() -> None:
    cluster = macs(2)
    answers("a", owners=EXO, power=" sleep 10\n")(cluster)
    assert {each.kind for each in cluster.plan().findings} == {"no_thunderbolt"}

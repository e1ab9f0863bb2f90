"""The rows of the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.views.rows import Row, rows_of
from tests.unit.macs import Cluster, macs, ring


def row(cluster: Cluster, interface: str, host: str = "a") -> Row:
    return next(each for each in rows_of(cluster.plan()) if (each.host, each.interface) == (host, interface))


def test_planned_cable_has_its_address_and_peer() -> None:
    found = row(macs(2).cable("a1", "b2"), "en2")
    assert found == Row("a", "en2", "TB 80G", "10.213.64.1/30", "b en3", "to set")
    assert found.to_json()["peer"] == "b en3"


def set_up(cluster: Cluster) -> None:
    cluster["a"].addresses["en2"], cluster["b"].addresses["en3"] = "10.213.64.1/30", "10.213.64.2/30"


def bridge(cluster: Cluster) -> None:
    cluster["a"].bridge = ("en2",)


def remove(cluster: Cluster) -> None:
    cluster["b"].without_interface = (2,)


@pytest.mark.parametrize(("change", "state"), [(set_up, "ready"), (bridge, "bridged"), (remove, "blocked")])
def test_state_of_a_cable(change: Callable[[Cluster], None], state: str) -> None:
    cluster = macs(2).cable("a1", "b2")
    change(cluster)
    assert row(cluster, "en2").state == state


def test_cable_outside_of_the_plan_is_unused() -> None:
    assert row(ring(3).cable("a3", "b3"), "en4").state == "unused"


def test_mac_that_is_no_host_and_devices_are_shown() -> None:
    cluster = macs(3).cable("a1", "c1")
    cluster.macs.pop()
    assert row(cluster, "en2") == Row("a", "en2", "TB 80G", "-", "Mac15,14", "no host")


def test_interface_for_ethernet_comes_first_and_others_are_unused() -> None:
    cluster = macs(2)
    cluster["a"].addresses["en1"] = "10.1.0.5/24"
    found = [(each.interface, each.kind, each.state) for each in rows_of(cluster.plan()) if each.host == "a"]
    assert found == [("en0", "Ether 10G", "up"), ("en1", "Wi-Fi", "unused")]


def test_host_without_any_link_has_a_row() -> None:
    cluster = macs(2, addresses={"en0": "169.254.1.1/16"})
    assert {each.state for each in rows_of(cluster.plan())} == {"no link"}

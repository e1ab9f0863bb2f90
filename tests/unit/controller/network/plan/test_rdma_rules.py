"""The rules of RDMA, each by what breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.finding import FAIL
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.rdma_rules import can_rdma, is_active, obstacles
from tests.unit.macs import Cluster, Mac, macs


def pair(**how: str) -> Cluster:
    return macs(2, rdma=True).cable("a1", "b2", **how)


def found(cluster: Cluster) -> tuple[list[bool], list[tuple[str, str]]]:
    plan = cluster.plan(over="thunderbolt")
    cables = plan.cabling.cables
    return [can_rdma(plan.hosts, cable) for cable in cables], [(each.kind, each.host) for each in obstacles(plan.hosts, cables, FAIL)]


@pytest.mark.parametrize("speed", ["80 Gb/s", "120 Gb/s"])
def test_fast_link_between_new_macs_can(speed: str) -> None:
    assert found(pair(speed=speed)) == ([True], [])


@pytest.mark.parametrize("speed", ["40 Gb/s", "20 Gb/s", "Up to 120 Gb/s", ""])
def test_slow_or_unknown_link_cannot_whatever_devices_there_are(speed: str) -> None:
    assert found(pair(speed=speed)) == ([False], [("rdma_speed", "")])


def old(mac: Mac) -> None:
    mac.version = "26.1"


def disabled(mac: Mac) -> None:
    mac.answers["rdma_ctl.txt"] = "disabled\n"


def says_enabled_and_has_no_device(mac: Mac) -> None:
    mac.answers["ibv_devices.txt"] = ""


def has_no_device_for_the_port(mac: Mac) -> None:
    mac.answers["ibv_devices.txt"] = "    rdma_en7  0200000000000001\n"


def is_not_seen_enabled(mac: Mac) -> None:
    mac.states = {"en3": "PORT_DOWN"}
    mac.rdma = False
    mac.answers["ibv_devices.txt"] = "    rdma_en3  0200000000000001\n"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (old, "rdma_system"),
        (disabled, "rdma_disabled"),
        (says_enabled_and_has_no_device, "rdma_no_device"),
        (has_no_device_for_the_port, "rdma_no_device"),
        (is_not_seen_enabled, "rdma_far_side"),
    ],
)
def test_host_that_cannot_is_named(change: Callable[[Mac], None], kind: str) -> None:
    cluster = pair()
    change(cluster["b"])
    assert found(cluster) == ([False], [(kind, "b")])


def test_switch_that_says_enabled_is_no_proof() -> None:
    cluster = pair()
    says_enabled_and_has_no_device(cluster["b"])
    plan = cluster.plan()
    texts = [each.text for each in obstacles(plan.hosts, plan.cabling.cables, FAIL)]
    assert any("though rdma_ctl says that it is enabled" in text for text in texts)


def test_active_ports_outweigh_a_peer_that_sees_no_rdma() -> None:
    cluster = pair()
    text = cluster.answers()["a"].texts["system_profiler.json"].replace("64087", "1")
    cluster["a"].answers["system_profiler.json"] = text
    plan = cluster.plan()
    assert is_active(plan.hosts, plan.cabling.cables[0])
    assert found(cluster) == ([True], [])


def test_port_that_is_down_on_a_good_link_is_tried() -> None:
    cluster = pair()
    cluster["a"].states = {"en2": "PORT_DOWN"}
    assert found(cluster) == ([True], [])


def test_obstacles_of_several_cables_are_one_line() -> None:
    cluster = macs(2, rdma=True).cable("a1", "b1", speed="40 Gb/s").cable("a2", "b2", speed="40 Gb/s")
    plan = cluster.plan()
    (finding,) = obstacles(plan.hosts, plan.cabling.cables, FAIL)
    assert "a en2 -- b en2, a en3 -- b en3" in finding.text


def test_version_with_braces_is_only_text() -> None:
    cluster = pair()
    cluster["a"].version = "{cables}{0}"
    assert found(cluster)[1] == [("rdma_system", "a")]

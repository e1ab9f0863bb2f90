"""Cables from the reports of both ends, or of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.cables import Cabling, count_matrix, find_cables
from tests.unit.macs import Cluster, macs, mesh


def cabling(cluster: Cluster) -> Cabling:
    return find_cables([host_network(name, answers) for name, answers in cluster.answers().items()])


def ends(found: Cabling) -> list[tuple[str, str]]:
    return [(cable.ends[0].interface, cable.ends[1].interface) for cable in found.cables]


def kinds(found: Cabling) -> list[str]:
    return [finding.kind for finding in found.findings]


def test_cable_is_one_for_both_its_ends() -> None:
    (cable,) = cabling(macs(2).cable("a1", "b2")).cables
    assert (cable.hosts, cable.speed, cable.one_sided, cable.through, cable.blocked) == ((0, 1), 80.0, False, (), "")
    assert (cable.end(0).interface, cable.end(1).interface) == ("en2", "en3")


@pytest.mark.parametrize("seen_from", ["a", "b"])
@pytest.mark.parametrize("through", [(), ("Some Dock",), ("Some Dock", "Hub", "Display")])
def test_cable_seen_from_one_side_counts_for_both(seen_from: str, through: tuple[str, ...]) -> None:
    found = cabling(macs(2).cable("a1", "b2", seen_from=seen_from, through=through, speed="40 Gb/s"))
    (cable,) = found.cables
    assert (ends(found), cable.through, cable.speed) == ([("en2", "en3")], through, 40.0)
    assert kinds(found) == ["one_sided"]
    assert found.findings[0].host == seen_from
    assert count_matrix(2, found.cables) == [[0, 1], [1, 0]]


def test_path_is_told_by_the_side_that_sees_the_dock() -> None:
    cluster = macs(2).cable("a1", "b2", seen_from="a", through=("Flex 8",)).cable("a1", "b2", seen_from="b")
    (cable,) = cabling(cluster).cables
    assert (cable.through, cable.one_sided) == (("Flex 8",), False)


def test_slowest_part_is_the_speed() -> None:
    (cable,) = cabling(macs(2).cable("a1", "b2", seen_from="a", speed="80 Gb/s").cable("a1", "b2", seen_from="b", speed="40 Gb/s")).cables
    assert cable.speed == 80.0  # both reports come from the same builder; the port's first cable has its speed
    (cable,) = cabling(macs(2).cable("a1", "b2", speed="Up to 120 Gb/s")).cables
    assert cable.speed == 0.0


def test_cables_of_a_pair_are_in_the_order_of_receptacles_on_both_sides() -> None:
    # The interfaces of the first Mac are en10 and en9: sorted as texts, they would change places.
    cluster = macs(2, ports=9).cable("a9", "b1").cable("a8", "b3").cable("a1", "b2")
    assert ends(cabling(cluster)) == [("en2", "en3"), ("en9", "en4"), ("en10", "en2")]


def test_order_does_not_depend_on_the_order_of_reports() -> None:
    one, other = macs(2).cable("a1", "b2").cable("a2", "b1"), macs(2).cable("a2", "b1").cable("a1", "b2")
    assert ends(cabling(one)) == ends(cabling(other))


def test_port_without_interface_blocks_its_cable() -> None:
    cluster = macs(2).cable("a1", "b2")
    cluster["b"].without_interface = (2,)
    found = cabling(cluster)
    assert ([cable.blocked for cable in found.cables], found.usable) == (["no interface"], [])


def test_port_without_a_number_still_shows_the_cable() -> None:
    cluster = macs(2).cable("a1", "b2")
    cluster["a"].without_tag = (1,)
    assert ends(cabling(cluster)) == [("", "en3")]


def test_hub_with_two_macs_serves_the_nearer_one() -> None:
    cluster = macs(3).cable("a1", "b1", through=("Hub",)).cable("a1", "c1", through=("Hub", "Display"))
    found = cabling(cluster)
    assert [cable.blocked for cable in found.cables] == ["", "shares a port"]
    assert kinds(found) == ["shared_port"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"cable": ("a1", "a2")}, "self_cable"),
        ({"uuid": None}, "no_uuid"),
    ],
)
def test_cable_that_connects_no_two_hosts(change: dict[str, Any], kind: str) -> None:
    cluster = macs(2)
    if "cable" in change:
        cluster.cable(*change["cable"])
    else:
        cluster.cable("a1", "b1")
        text = cluster.answers()["a"].texts["system_profiler.json"]
        own = f'"domain_uuid_key": "{cluster["a"].uuid(1)}"'
        cluster["a"].answers["system_profiler.json"] = text.replace(own, '"x": 1')
        cluster["b"].answers["system_profiler.json"] = "{}"
    found = cabling(cluster)
    assert (found.cables, set(kinds(found))) == ((), {kind})


def test_mac_that_is_no_host_is_named_by_its_model() -> None:
    cluster = macs(3).cable("a1", "c1")
    found = find_cables([host_network(name, cluster.answers()[name]) for name in "ab"])
    assert (found.cables, kinds(found)) == ((), ["foreign_peer"])
    assert "en2 (Thunderbolt 1) leads to Mac15,14" in found.findings[0].text


def test_same_mac_under_two_names_is_a_failure() -> None:
    answers = macs(1).answers()["a"]
    found = find_cables([host_network("a", answers), host_network("again", answers)])
    assert [(finding.level, finding.kind, finding.host) for finding in found.findings] == [("fail", "same_mac", "again")]


ZERO = "00000000-0000-0000-0000-000000000000"


def reports(*pairs: tuple[str, str]) -> HostAnswers:
    """Return the answers of a host whose ports have these (own uuid, uuid of the peer)."""
    ports = [
        {"domain_uuid_key": own, "receptacle_1_tag": {"receptacle_id_key": str(at)}, "_items": [{"_name": "Mac", "domain_uuid_key": peer}]}
        for at, (own, peer) in enumerate(pairs, 1)
    ]
    hardware = "".join(f"Hardware Port: Thunderbolt {at}\nDevice: en{at}\n" for at in range(1, len(pairs) + 1))
    return HostAnswers("Darwin", {"system_profiler.json": json.dumps({"SPThunderboltDataType": ports}), "hardware_ports.txt": hardware})


@pytest.mark.parametrize(
    ("hosts", "cables"),
    [
        ([reports((ZERO, ZERO)), reports((ZERO, ZERO))], []),
        ([reports(("A", "B")), reports(("A", "A"), ("B", "A"))], [(0, 1)]),
        ([reports(("A", "A")), reports(("B", "B"))], []),
        ([reports(("A", "B"), ("B", "A"))] * 2, []),
        ([reports(("A", "A2")), reports(("A", "C")), reports(("C", "A"))], [(0, 2)]),
    ],
    ids=["one uuid everywhere", "uuid of another host", "port that sees itself", "Mac with a loop, listed twice", "claimed port"],
)
def test_uuid_that_stands_at_both_ends_connects_nothing(hosts: list[HostAnswers], cables: list[tuple[int, int]]) -> None:
    found = find_cables([host_network(f"mac-{at}", answers) for at, answers in enumerate(hosts)])
    assert [cable.hosts for cable in found.cables] == cables
    assert all(cable.seen_from <= set(cable.hosts) for cable in found.cables)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_mesh_has_a_cable_between_each_two(count: int) -> None:
    found = cabling(mesh(count))
    assert count_matrix(count, found.cables) == [[int(one != other) for other in range(count)] for one in range(count)]

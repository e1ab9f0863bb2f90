"""The Thunderbolt report, in the shapes that have been seen."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.profiler import Bus, Peer, parse_profiler

PEER: dict[str, Any] = {"_name": "MacBook Pro", "device_name_key": "Mac17,7", "domain_uuid_key": "B0", "vendor_id_key": "0x0A27"}
TAG: dict[str, Any] = {"receptacle_id_key": "2", "receptacle_status_key": "receptacle_connected", "current_speed_key": "80 Gb/s"}
BUS: dict[str, Any] = {"_name": "thunderboltusb4_bus_1", "domain_uuid_key": "A1", "receptacle_1_tag": TAG, "_items": [PEER]}


def report(*elements: Any) -> dict[str, Any]:
    return {"SPThunderboltDataType": list(elements)}


def dock(*items: Any, **fields: Any) -> dict[str, Any]:
    """Return a device with others behind it."""
    upstream = {"receptacle_upstream_ambiguous_tag": {"current_speed_key": "40 Gb/s"}}
    return {"_name": "Some Dock", "mode_key": "usb_four", **upstream, "_items": list(items), **fields}


def one(bus: Any) -> Bus:
    (found,) = parse_profiler(report(bus))
    return found


def test_port_with_a_mac() -> None:
    assert one(BUS) == Bus("A1", "2", True, 80.0, 80.0, (Peer("B0", "Mac17,7", (), 80.0, None),))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_mac_is_found_behind_devices_at_any_depth(depth: int) -> None:
    item: Any = PEER
    for _ in range(depth):
        item = dock(item)
    (peer,) = one({**BUS, "_items": [item]}).peers
    assert (peer.uuid, peer.through, peer.speed) == ("B0", ("Some Dock",) * depth, 40.0)


def test_devices_are_no_peers() -> None:
    found = one({**BUS, "_items": [{"_name": "Envoy Ultra", "mode_key": "usb_four_v2", "switch_uid_key": "0x1"}]})
    assert (found.peers, found.devices, found.connected) == ((), ("Envoy Ultra",), True)


@pytest.mark.parametrize(
    ("services", "rdma"),
    [
        ([{"_name": "service_ip", "protocol_id_key": 1}], False),
        ([{"_name": "service_ip", "protocol_id_key": 1}, {"_name": "unknown_xd_service", "protocol_id_key": 64087}], True),
        ([{"_name": "unknown_xd_service", "protocol_id_key": "64087"}], True),
        ([], None),
        ("nonsense", None),
    ],
)
def test_peer_shows_whether_it_has_rdma(services: Any, rdma: bool | None) -> None:
    assert one({**BUS, "_items": [{**PEER, "services_title": services}]}).peers[0].rdma is rdma


@pytest.mark.parametrize(
    ("text", "speed", "limit"),
    [("80 Gb/s", 80, 80), ("Up to 120 Gb/s", 0, 120), ("Up to 40 Gb/s x1", 0, 40), ("", 0, 0), ("fast", 0, 0), (80, 0, 0), (None, 0, 0)],
)
def test_limit_is_no_speed(text: Any, speed: float, limit: float) -> None:
    found = one({**BUS, "receptacle_1_tag": {**TAG, "current_speed_key": text}})
    assert (found.speed, found.limit) == (speed, limit)


def test_idle_port_leads_nowhere() -> None:
    tag = {**TAG, "receptacle_status_key": "receptacle_no_devices_connected", "current_speed_key": "Up to 120 Gb/s"}
    assert one({"domain_uuid_key": "A1", "receptacle_1_tag": tag}) == Bus("A1", "2", False, 0.0, 120.0)


def test_two_ports_in_one_element_are_told_apart_by_use() -> None:
    other = {**TAG, "receptacle_id_key": "1", "receptacle_status_key": "receptacle_no_devices_connected"}
    assert one({**BUS, "receptacle_1_tag": other, "receptacle_2_tag": TAG}).receptacle == "2"
    assert one({**BUS, "receptacle_1_tag": {**TAG, "receptacle_id_key": "1"}, "receptacle_2_tag": TAG}).receptacle == ""


@pytest.mark.parametrize("tag", [None, "x", {}, {"receptacle_id_key": None}])
def test_port_without_its_number_still_has_its_peer(tag: Any) -> None:
    found = one({**BUS, "receptacle_1_tag": tag})
    assert (found.receptacle, [peer.uuid for peer in found.peers]) == ("", ["B0"])


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        report(),
        report({"Thunderbolt": "no_hardware"}),
        report(None, 1, "x", []),
        {"SPThunderboltDataType": {"a": 1}},
        report({"_items": "x"}),
    ],
)
def test_report_without_ports(data: Any) -> None:
    assert parse_profiler(data) == []


@pytest.mark.parametrize("items", [[None], ["x"], [[]], [{}], [{"domain_uuid_key": {}}], [{"_items": {"a": []}}]])
def test_nonsense_behind_a_port_is_no_mac(items: Any) -> None:
    assert one({**BUS, "_items": items}).peers == ()


def test_endless_chain_of_devices_is_bounded() -> None:
    item: Any = PEER
    for _ in range(5000):
        item = {"_name": "hub", "_items": [item]}
    assert one({**BUS, "_items": [item]}).peers == ()


def test_long_names_are_cut() -> None:
    assert len(one({**BUS, "_items": [dock(PEER, _name="x" * 10_000)]}).peers[0].through[0]) == 200

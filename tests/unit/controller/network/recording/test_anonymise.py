"""Recordings without identifiers, whose plan is the same."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.hardware import kind_of, parse_hardware_ports
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.plan import Plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.planning import plan_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.anonymise import anonymised
from tests.unit.macs import Cluster, mesh, ring


def planned(answers: dict[str, HostAnswers]) -> Plan:
    return plan_network([host_network(name, each) for name, each in answers.items()], check_wishes({}))


def shape(plan: Plan) -> object:
    """Return all of a plan that an identifier has no part in."""
    cables = [(cable.hosts, cable.ends[0].interface, cable.ends[1].interface, cable.speed, cable.through) for cable in plan.cabling.cables]
    return (plan.backend, plan.order, plan.width, cables, plan.rdma, sorted(finding.kind for finding in plan.findings))


def with_dock(cluster: Cluster) -> Cluster:
    return cluster.cable("a5", "b5", through=("Bob's Dock",), speed="40 Gb/s", seen_from="a")


@pytest.mark.parametrize("cluster", [ring(3), mesh(4, rdma=True), with_dock(ring(4, rdma=True))])
def test_plan_of_a_recording_is_that_of_the_hosts(cluster: Cluster) -> None:
    before, after = planned(cluster.answers()), planned(anonymised(cluster.answers(), [], b"key"))
    if not any(cable.through for cable in before.cabling.cables):
        assert shape(after) == shape(before)
    assert (after.backend, after.order, after.rdma) == (before.backend, before.order, before.rdma)


SECRETS = (
    *(
        "7B1E0C9A-1111-4222-8333-944455556666",
        "3c:22:fb:12:34:56",
        "fe80::3e22:fbff:fe12:3456",
        "2001:db8:77::9",
        "10.20.30.40",
        "17.1.2.3",
    ),
    *("C02XK0AAJG5H", "0x05ACDEADBEEF0102", "3c22fb1234560001", "studio-anna", "anna.corp.example", "anna", "Anna's iPhone", "Corp VPN"),
    *("firm.example", "dhcp1", "studio of anna", "Anna's lab", "Anna's dock"),
    *("Home of Anna", "com.corp.tunnel", "3c22fb123456"),
)


def leaky() -> HostAnswers:
    item = {"domain_uuid_key": "7B1E0C9A-1111-4222-8333-944455556666", "_name": "Anna's MacBook Pro", "serial_number_key": "C02XK0AAJG5H"}
    profiler = {"SPThunderboltDataType": [{"domain_uuid_key": "D0MAIN", "switch_uid_key": "0x05ACDEADBEEF0102", "_items": [item]}]}
    return HostAnswers(
        "Darwin",
        {
            "system_profiler.json": json.dumps(profiler),
            "ifconfig.txt": "en0: flags=8863<UP> mtu 1500\n\tether 3c:22:fb:12:34:56\n\tinet6 fe80::3e22:fbff:fe12:3456%en0 prefixlen 64\n"
            "\tinet6 2001:db8:77::9 prefixlen 64\n\tinet 10.20.30.40 netmask 0xffffff00 broadcast 10.20.30.255\n",
            "routes.txt": "Destination        Gateway            Flags    Netif Expire\n"
            "10.20.30           link#4   UCS   en0\n17.1.2.3  3c:22:fb:12:34:56 UHLWIi en0\n",
            "service_order.txt": "(1) Anna's iPhone\n(Hardware Port: iPhone USB, Device: en5)\n\n"
            "(3) Uplink\n(Hardware Port: Anna's dock, Device: en9)\n\n"
            "(2) Wi-Fi\n(Hardware Port: Wi-Fi, Device: en1)\n",
            "vpn.txt": '* (Connected)  7B1E0C9A-1111-4222-8333-944455556666 VPN (com.corp.tunnel) "Corp VPN" [VPN:com.corp.tunnel]\n',
            "location.txt": "Home of Anna\n",
            "bridge_lease.txt": "op = BOOTREPLY\nsname = dhcp1\nhost_name (string): studio of anna\n"
            "domain_name (string): firm.example\ndomain_search (string_mult): {eng.firm.example}\n",
            "hardware_ports.txt": "\nHardware Port: Thunderbolt 1\nDevice: en2\nEthernet Address: 3c:22:fb:12:34:56\n"
            "\nHardware Port: Anna's dock\nDevice: en9\n\nVLAN User Defined Name: Anna's lab\nParent Device: en0\n",
            "ibv_devices.txt": "    rdma_en2  3c22fb1234560001\n",
            "interfaces.json": '{"enx3c22fb123456": {}}',
        },
        {"ibv_devinfo.txt": "studio-anna: cannot read /Users/anna/x, says anna@anna.corp.example"},
    )


def test_no_identifier_is_left() -> None:
    found = anonymised({"studio-anna": leaky()}, ["anna.corp.example"], b"key")
    everything = json.dumps([[*each.texts.values(), *each.failed.values(), each.failure, name] for name, each in found.items()])
    assert [secret for secret in SECRETS if secret.lower() in everything.lower()] == []


def test_what_is_needed_stays() -> None:
    texts = anonymised({"studio-anna": leaky()}, [], b"key")["host1"].texts
    assert "(Hardware Port: iPhone USB, Device: en5)" in texts["service_order.txt"]
    assert texts["bridge_lease.txt"] == "op = BOOTREPLY\n"
    assert "Hardware Port: Thunderbolt 1\nDevice: en2\n" in texts["hardware_ports.txt"]
    assert "(2) Wi-Fi" in texts["service_order.txt"]
    assert "netmask 0xffffff00" in texts["ifconfig.txt"]
    assert "rdma_en2" in texts["ibv_devices.txt"]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        *((name, name) for name in ("Ethernet", "Ethernet 1", "10G Ethernet", "Ethernet Adapter (en4)", "USB 10/100/1G/2.5G LAN")),
        *((name, name) for name in ("Wi-Fi", "WLAN", "Thunderbolt 3", "Thunderbolt Bridge", "Bluetooth PAN")),
        ("Anna's Ethernet", "Ethernet (Service 1)"),
        ("Home LAN", "Ethernet (Service 1)"),
        ("Home WLAN", "Wi-Fi (Service 1)"),
        ("Anna's dock", "Service 1"),
    ],
)
def test_port_has_a_name_of_the_same_kind(name: str, new: str) -> None:
    listed, order = f"Hardware Port: {name}\nDevice: en7\n", f"(1) x, Device: y\n(Hardware Port: {name}, Device: en7)\n"
    texts = anonymised({"a": HostAnswers("Darwin", {"hardware_ports.txt": listed, "service_order.txt": order})}, [], b"key")["host1"].texts
    assert parse_hardware_ports(texts["hardware_ports.txt"]) == {"en7": new}
    assert f"(Hardware Port: {new}, Device: en7)" in texts["service_order.txt"]
    assert kind_of("en7", new) == kind_of("en7", name)


def test_replacement_is_the_same_on_every_host() -> None:
    one, other = (HostAnswers("Darwin", {"x.txt": f"{text} 3c:22:fb:12:34:56 3C:22:FB:12:34:56"}) for text in ("10.1.2.3", "10.1.2.4"))
    found = anonymised({"a-mac": one, "b-mac": other}, [], b"key")
    first, second = found["host1"].texts["x.txt"].split(), found["host2"].texts["x.txt"].split()
    assert first[1:] == second[1:] == ["02:00:00:00:00:01"] * 2
    assert first[0].rpartition(".")[0] == second[0].rpartition(".")[0]


def test_routes_are_written_in_full() -> None:
    text = anonymised({"a": leaky()}, [], b"key")["host1"].texts["routes.txt"]
    network = host_network("a", HostAnswers("Darwin", {"routes.txt": text})).routes[0].network
    assert (network.prefixlen, network.is_private) == (24, True)


@pytest.mark.parametrize("text", ["", "not json", "[" * 100_000])
def test_odd_answers_are_no_obstacle(text: str) -> None:
    assert anonymised({"a": HostAnswers("Darwin", {"system_profiler.json": text})}, [], b"key")["host1"].system == "Darwin"


@pytest.mark.parametrize("text", ["26.2", "mtu 16384", "0:0:0:0:0:0", "ff:ff:ff:ff:ff:ff", "12:34", "1.2.3"])
def test_other_numbers_stay(text: str) -> None:
    assert anonymised({"a": HostAnswers("Darwin", {"x.txt": text})}, [], b"key")["host1"].texts["x.txt"] == text


def test_failure_of_a_host_has_no_names() -> None:
    answers = {"studio-anna": HostAnswers(failure="ssh: Could not resolve hostname studio-anna.corp.example: studio-anna, 10.20.30.40")}
    failure = anonymised(answers, ["studio-anna.corp.example"], b"key")["host1"].failure
    assert "anna" not in failure
    assert "10.20.30.40" not in failure


def test_names_without_end_take_no_time() -> None:
    text = "".join(f"/home/{at:x} {at:016x}\n" for at in range(30_000))
    started = time.process_time()
    anonymised({"a": HostAnswers("Darwin", {"owners.txt": text})}, [], b"key")
    assert time.process_time() - started < 5


def test_half_a_surrogate_in_a_report_can_be_written() -> None:
    report = '{"_name": "\\ud800"}'
    found = anonymised({"a": HostAnswers("Darwin", {"system_profiler.json": report})}, [], b"key")
    assert json.loads(found["host1"].texts["system_profiler.json"].encode()) == {"_name": "?"}

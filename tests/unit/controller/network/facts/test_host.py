"""The network of a host from its answers, and the trouble with them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import HostNetwork, host_network, thunderbolt_interfaces
from tests.unit.macs import Cluster, macs


def host(cluster: Cluster, name: str = "a") -> HostNetwork:
    return host_network(name, cluster.answers()[name])


def test_mac_has_ports_interfaces_and_routes() -> None:
    found = host(macs(2, ports=3, rdma=True).cable("a1", "b2"))
    assert [port.interface for port in found.ports] == ["en2", "en3", "en4"]
    assert found.ports[0].label == "en2 (Thunderbolt 1)"
    assert (found.system.version, found.system.build, found.system.model) == ("26.2", "25C56", "Mac15,14")
    assert (found.ssh, found.kind("en0"), found.kind("en2"), found.kind("utun9")) == ("198.18.0.1", "ethernet", "thunderbolt", "vpn")
    assert thunderbolt_interfaces(found) == {"en2", "en3", "en4"}
    assert found.findings == ()


@pytest.mark.parametrize(
    ("version", "new"),
    [("26.2", True), ("26.10", True), ("27.0", True), ("26.1", False), ("15.7.1", False), ("", False), ("x.y", False), ("9" * 5000, False)],
)
def test_version_is_compared_by_numbers(version: str, new: bool) -> None:
    cluster = macs(1, version=version)
    assert host(cluster).system.at_least_26_2 is new


def test_host_that_could_not_be_asked() -> None:
    found = host_network("a", HostAnswers(failure="no answer within 30 s"))
    assert [(each.level, each.kind) for each in found.findings] == [("fail", "unreachable")]
    assert "no answer within 30 s" in found.findings[0].text


@pytest.mark.parametrize("text", ["", "   ", "not json", "[[[", "null"])
def test_profiler_that_answers_nothing_or_nonsense(text: str) -> None:
    cluster = macs(1)
    cluster["a"].answers["system_profiler.json"] = text
    found = host(cluster)
    assert found.ports == ()
    assert all(each.kind == "no_answer" for each in found.findings)


def test_programs_that_fail_are_named_with_their_reason() -> None:
    cluster = macs(1)
    cluster["a"].failed = {"system_profiler.json": "no answer within 20 s", "routes.txt": "exit status 1"}
    texts = [each.text for each in host(cluster).findings]
    assert texts == [
        "no Thunderbolt ports are known, as system_profiler failed: no answer within 20 s",
        "routes.txt has no answer: exit status 1",
    ]


def test_port_that_an_administrator_removed_is_named() -> None:
    cluster = macs(2).cable("a3", "b1")
    cluster["a"].without_interface = (3,)
    (found,) = host(cluster).findings
    assert (found.kind, "Thunderbolt 3 has no network interface" in found.text) == ("no_interface", True)


def test_port_without_a_number_is_named() -> None:
    cluster = macs(2).cable("a3", "b1")
    cluster["a"].without_tag = (3,)
    (found,) = host(cluster).findings
    assert (found.kind, "reported without its number" in found.text) == ("no_interface", True)


def test_other_software_is_noticed() -> None:
    cluster = macs(1)
    cluster["a"].answers = {
        "owners.txt": "/Library/LaunchDaemons/io.exo.networksetup.plist\n",
        "vpn.txt": '* (Connected)  0000 VPN (com.wireguard.macos) "Office" [VPN]\n* (Disconnected) 1 PPP "Old" [PPP:L2TP]\n',
        "sharing_enabled.txt": "true\n",
        "sharing_devices.json": '["en2", "bridge0"]',
        "bridge_lease.txt": "op = BOOTREPLY\nhtype = 1\n",
        "location.txt": "exo\n",
    }
    found = host(cluster)
    assert found.owners == ("io.exo.networksetup.plist", "VPN Office")
    assert (found.shared, found.lease, found.location) == (("en2", "bridge0"), True, "exo")


def test_sharing_that_is_off_shares_nothing() -> None:
    cluster = macs(1)
    cluster["a"].answers = {"sharing_enabled.txt": "0\n", "sharing_devices.json": '["en2"]'}
    assert host(cluster).shared == ()


def test_power_and_filevault() -> None:
    cluster = macs(1)
    cluster["a"].answers = {"power.txt": "System-wide power settings:\n sleep                10\n autorestart          0\n"}
    cluster["a"].answers["filevault.txt"] = "FileVault is On.\n"
    assert (dict(host(cluster).system.power), host(cluster).system.filevault) == ({"sleep": "10", "autorestart": "0"}, True)


LINES = 20_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sw_vers.txt", f"ProductVersion: {'9' * 5000}.2\nBuildVersion: {'x' * 1_000_000}\n"),
        ("power.txt", f" sleep {'9' * 5000}\n"),
        ("ifconfig.txt", f"{'e' * 5000}: flags=1<UP> mtu 1500\n\tinet 10.213.64.9 netmask 0xff{'f' * 5000}\n"),
        ("ifconfig.txt", f"en2: flags=1<UP> mtu 1500\nbridge0: flags=1<UP>\n\tmember: en2{'2' * 5000}\n"),
        ("hardware_ports.txt", f"Hardware Port: Thunderbolt 1\nDevice: {'e' * 5000}\n"),
        ("service_order.txt", f"(1) {'s' * 5000}\n(Hardware Port: Thunderbolt 1, Device: en2)\n"),
        ("routes.txt", f"10.213.64/24 10.0.0.1 UGSc {'e' * 5000}\n0/1 10.0.0.1 UGSc utun{'4' * 5000}\n"),
        ("ibv_devinfo.txt", f"hca_id: rdma_en2\n state: {'S' * 5000}\n"),
        ("system_profiler.json", ""),
    ],
)
def test_long_texts_and_numbers_end_neither_the_look_nor_a_message(name: str, text: str) -> None:
    cluster = macs(2, rdma=True).cable("a1", "b1")
    cluster["b"].answers[name] = text
    cluster["b"].failed = {} if text else {name: "x" * 1_000_000}
    plan = cluster.plan()
    texts = [plan.problem, *(part for each in plan.findings for part in (each.text, each.interface))]
    assert max(map(len, texts)) < 500


def test_reason_of_a_lost_host_is_cut() -> None:
    (found,) = host_network("a", HostAnswers(failure="x" * 1_000_000)).findings
    assert len(found.text) < 500


LONG = [
    ("ifconfig.txt", "en0: " + "flags=1<" * 100 * LINES),
    ("ifconfig.txt", "en0: x\n\tmedia: " + "9" * 100 * LINES),
    ("ifconfig.txt", "en0: x\n\tinet " + "1 --> " * 100 * LINES),
    ("service_order.txt", "(1) x\n(Hardware Port: x" + ", Device: x" * 20 * LINES),
]


@pytest.mark.parametrize(("name", "text"), LONG, ids=range(len(LONG)))
def test_long_lines_take_no_time(name: str, text: str) -> None:
    test_empty_lines_take_no_time(name, text)


@pytest.mark.parametrize("name", ["power.txt", "ibv_devices.txt", "ibv_devinfo.txt", "ifconfig.txt", "vpn.txt"])
@pytest.mark.parametrize("text", ["\n" * LINES, "en0: x\n" + " \n" * LINES, "hca_id: x\n" * LINES, "(Connected) " * LINES])
def test_empty_lines_take_no_time(name: str, text: str) -> None:
    cluster = macs(1)
    cluster["a"].answers = {name: text}
    started = time.process_time()
    host(cluster)
    assert time.process_time() - started < 1


def linux(**answers: Any) -> HostNetwork:
    return host_network("box", HostAnswers("Linux", {f"{name}.json": json.dumps(value) for name, value in answers.items()}))


def test_linux_host_has_interfaces_and_routes() -> None:
    info = {"family": "inet", "local": "10.0.0.3", "prefixlen": 24}
    found = linux(ip_addr=[{"ifname": "eth0", "addr_info": [info]}], ip_route=[{"dst": "default", "dev": "eth0"}], interfaces={})
    assert (list(found.interfaces), [str(route.network) for route in found.routes], found.findings) == (["eth0"], ["0.0.0.0/0"], ())


def test_linux_host_without_ip_says_so() -> None:
    (found,) = linux().findings
    assert found.text == "no addresses are known, as ip addr failed: it answered nothing"

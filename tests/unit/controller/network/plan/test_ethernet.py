"""The Ethernet address by which hosts reach each other."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.ethernet import EthernetPlan, plan_ethernet
from tests.unit.macs import Cluster, macs


def plan(cluster: Cluster, interface: str = "") -> EthernetPlan:
    return plan_ethernet([host_network(name, answers) for name, answers in cluster.answers().items()], interface)


def interfaces(found: EthernetPlan) -> list[str]:
    return [place.interface.name for place in found.places]


def wifi_and_wire() -> Cluster:
    """Macs of which a has Wi-Fi as en0 and a wired adapter as en7, like a MacBook."""
    cluster = macs(3, addresses={})
    cluster["a"].answers["hardware_ports.txt"] = "Hardware Port: Wi-Fi\nDevice: en0\n\nHardware Port: USB 10/100/1G/2.5G LAN\nDevice: en9\n"
    cluster["a"].addresses = {"en0": "10.1.0.5/24", "en9": "198.18.0.1/24"}
    for mac, at in ((cluster["b"], 6), (cluster["c"], 7)):
        mac.addresses = {"en1": f"10.1.0.{at}/24"}
    return cluster


def test_wired_network_that_all_share_is_taken_by_whatever_name() -> None:
    found = plan(wifi_and_wire())
    assert (interfaces(found), found.addresses) == (["en9", "en0", "en0"], ["198.18.0.1", "198.18.0.2", "198.18.0.3"])
    assert found.findings == ()


def test_wifi_is_taken_with_a_warning_when_nothing_else_is_shared() -> None:
    cluster = wifi_and_wire()
    cluster["a"].addresses.pop("en9")
    found = plan(cluster)
    assert (interfaces(found), {finding.kind for finding in found.findings}) == (["en0", "en1", "en1"], {"wifi"})


def test_faster_network_wins() -> None:
    cluster = macs(2)
    for at, mac in enumerate(cluster.macs):
        mac.addresses = {"en0": f"10.0.0.{at + 1}/24", "en9": f"10.0.9.{at + 1}/24"}
        mac.answers["hardware_ports.txt"] = "Hardware Port: Ethernet\nDevice: en0\n\nHardware Port: Ethernet Adapter (en9)\nDevice: en9\n"
    assert plan(cluster).addresses == ["10.0.0.1", "10.0.0.2"]  # 10 Gb/s, and the other does not tell


def same_network(*ports: tuple[str, str]) -> Cluster:
    """Macs with several interfaces in one network, en10 and so on: (name of the port, medium)."""
    cluster = macs(2, addresses={})
    for at, mac in enumerate(cluster.macs):
        blocks, hardware = "", ""
        for number, (port, media) in enumerate(ports):
            blocks += f"en1{number}: flags=1<UP> mtu 1500\n\tinet 10.1.0.{at + 1 + 10 * number} netmask 0xffffff00\n"
            blocks += f"\tmedia: autoselect ({media} <full-duplex>)\n\tstatus: active\n"
            hardware += f"Hardware Port: {port}\nDevice: en1{number}\n"
        mac.answers = {"ifconfig.txt": blocks, "hardware_ports.txt": hardware, "routes.txt": ""}
    return cluster


@pytest.mark.parametrize(
    ("ports", "taken"),
    [
        ([("Wi-Fi", ""), ("USB 10/100/1000 LAN", "1000baseT")], "en11"),
        ([("USB 10/100/1000 LAN", "1000baseT"), ("Ethernet", "10Gbase-T")], "en11"),
        ([("Ethernet", "10Gbase-T"), ("USB 10/100/1000 LAN", "1000baseT")], "en10"),
        ([("Ethernet", "10Gbase-T"), ("Ethernet", "10Gbase-T")], "en10"),
    ],
)
def test_best_of_several_interfaces_in_one_network_is_taken(ports: list[tuple[str, str]], taken: str) -> None:
    found = plan(same_network(*ports))
    assert (interfaces(found), found.findings) == ([taken, taken], ())


@pytest.mark.parametrize("port", ["Bluetooth PAN", "iPhone USB"])
def test_phone_or_bluetooth_is_no_better_than_wifi(port: str) -> None:
    assert interfaces(plan(same_network((port, ""), ("Wi-Fi", "")))) == ["en11", "en11"]
    assert interfaces(plan(same_network(("Wi-Fi", ""), (port, "1000baseT")))) == ["en11", "en11"]  # a speed of a wire shows one


def test_overlay_of_a_vpn_is_no_ethernet() -> None:
    cluster = same_network(("Wi-Fi", ""))
    for at, mac in enumerate(cluster.macs):
        mac.answers["ifconfig.txt"] += f"feth1234: flags=1<UP> mtu 2800\n\tinet 10.147.17.{at + 1} netmask 0xffffff00\n\tstatus: active\n"
    assert interfaces(plan(cluster)) == ["en10", "en10"]


def test_name_can_be_given() -> None:
    cluster = wifi_and_wire()
    assert plan(cluster, "en0").addresses == ["10.1.0.5", "198.18.0.2", "198.18.0.3"]


@pytest.mark.parametrize(
    ("interface", "text"), [("en77", "a has no interface en77; those with an address are: en0"), ("en1", "a has no IPv4 address on en1")]
)
def test_given_name_that_a_host_lacks(interface: str, text: str) -> None:
    assert plan(macs(2), interface).problem == text


@pytest.mark.parametrize(
    ("one", "other", "ips", "kinds", "problem"),
    [
        ("192.168.2.1/24", "192.168.2.1/24", [], [], "a and b have the same IPv4 address, 192.168.2.1; change one, or set mlx_ips"),
        ("169.254.2.1/16", "10.1.1.1/24", ["169.254.2.1", "10.1.1.1"], ["routed", "other_route", "other_route"], ""),
        ("169.254.2.1/16", "169.254.2.2/16", ["169.254.2.1", "169.254.2.2"], [], ""),
        ("10.2.0.1/24 10.1.0.1/24", "10.1.0.2/24", ["10.1.0.1", "10.1.0.2"], [], ""),
        ("169.254.2.1/16 10.1.0.1/24", "10.1.0.2/24 169.254.2.2/16", ["10.1.0.1", "10.1.0.2"], [], ""),
    ],
)
def test_given_interface_is_judged_by_its_addresses(one: str, other: str, ips: list[str], kinds: list[str], problem: str) -> None:
    cluster = macs(2)
    cluster["a"].addresses["en9"], cluster["b"].addresses["en9"] = one, other
    found = plan(cluster, "en9")
    assert (found.addresses, [finding.kind for finding in found.findings], found.problem) == (ips, kinds, problem)


def test_given_interface_without_a_link_is_refused() -> None:
    cluster = macs(2, addresses={})
    for mac in cluster.macs:
        mac.answers["ifconfig.txt"] = "en9: flags=1<UP> mtu 1500\n\tinet 10.1.1.2 netmask 0xffffff00\n\tstatus: inactive\n"
    assert plan(cluster, "en9").problem == "a has no link on en9; plug it in, or name another interface"


def test_thunderbolt_bridge_and_link_local_addresses_are_no_ethernet() -> None:
    cluster = macs(2).cable("a1", "b1")
    for at, mac in enumerate(cluster.macs):
        mac.addresses = {"en0": f"169.254.7.{at + 1}/16", "en2": f"10.5.0.{at + 1}/24"}
    assert plan(cluster).problem == "a has no IPv4 address on Ethernet or Wi-Fi; connect it, or name one with --interface"


def test_hosts_in_two_networks_are_reached_by_their_default_routes() -> None:
    cluster = macs(2)
    cluster["b"].addresses["en0"] = "10.7.0.2/24"
    found = plan(cluster)
    assert (found.addresses, [finding.kind for finding in found.findings]) == (["198.18.0.1", "10.7.0.2"], ["routed"])


def test_same_address_on_two_hosts_is_a_problem() -> None:
    assert "same IPv4 address" in plan(macs(2, addresses={"en0": "192.0.2.9/24"})).problem


@pytest.mark.parametrize(("interface", "kind"), [("utun4", "vpn_route"), ("en1", "other_route")])
def test_traffic_that_leaves_by_another_interface_is_noticed(interface: str, kind: str) -> None:
    cluster = macs(2)
    cluster["a"].routes = f"198.18.0.2        10.8.0.1           UGHS              {interface}\n"
    (finding,) = plan(cluster).findings
    assert (finding.kind, finding.host, finding.interface) == (kind, "a", interface)


def test_host_that_wifi_has_seen_is_no_detour() -> None:
    cluster = macs(2)
    cluster["a"].routes = "198.18.0/24   link#5   UCSI   en1   !\n198.18.0.2   02:0:0:0:0:2   UHLWI   en1   1100\n"
    assert plan(cluster).findings == ()


def test_network_that_a_vpn_swallows_is_passed_over() -> None:
    cluster = macs(2)
    for at, mac in enumerate(cluster.macs):
        mac.addresses = {"en0": f"10.0.0.{at + 1}/24", "en1": f"10.1.0.{at + 1}/24"}
        mac.routes = "10.0.0.0/25    10.8.0.1    UGSc    utun4\n"
    assert interfaces(plan(cluster)) == ["en1", "en1"]

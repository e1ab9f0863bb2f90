"""The addresses of cables."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import HostNetwork, host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.subnets import (
    CANDIDATES,
    Addressed,
    NoSubnet,
    address_cables,
    uses,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.cables import find_cables
from tests.unit.macs import Cluster, macs, mesh, ring


def hosts_of(cluster: Cluster) -> list[HostNetwork]:
    return [host_network(name, answers) for name, answers in cluster.answers().items()]


def addressed(cluster: Cluster, subnet: str = "") -> list[Addressed]:
    hosts = hosts_of(cluster)
    return address_cables(hosts, find_cables(hosts).usable, IPv4Network(subnet) if subnet else None)


def texts(links: list[Addressed]) -> list[tuple[str, str]]:
    return [(str(link.addresses[0]), str(link.addresses[1])) for link in links]


def set_up(cluster: Cluster, links: list[Addressed]) -> Cluster:
    """Give the ports their addresses, as an apply does."""
    for link in links:
        for end, address in zip(link.cable.ends, link.addresses, strict=True):
            cluster.macs[end.host].addresses[end.interface] = str(address)
    return cluster


def test_each_cable_has_a_network_of_its_own() -> None:
    links = addressed(mesh(8, ports=8))
    networks = [link.addresses[0].network for link in links]
    assert all(link.addresses[1].network == link.addresses[0].network and link.addresses[0].ip != link.addresses[1].ip for link in links)
    assert (len(set(networks)), {network.prefixlen for network in networks}) == (28, {30})


def test_right_addresses_stay_and_a_second_run_changes_nothing() -> None:
    cluster = ring(4)
    first = addressed(cluster)
    second = addressed(set_up(cluster, first))
    assert texts(second) == texts(first)
    assert all(link.kept for link in second)


def test_new_cable_gets_the_next_network_of_the_block() -> None:
    cluster = ring(3)
    first = addressed(cluster)
    set_up(cluster, first).cable("a3", "b3")
    links = addressed(cluster)
    assert [link.kept for link in links] == [True, False, True, True]
    assert str(links[1].addresses[0]) == "10.213.64.13/30"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.168.0.1/30", "192.168.0.6/30"),  # two networks
        ("192.168.0.1/30", "192.168.0.1/30"),  # one address twice
        ("169.254.1.1/16", "169.254.1.2/16"),  # made up by the Macs themselves
        ("192.168.0.1/30", ""),
        ("192.168.0.1/30 10.1.1.1/24", "192.168.0.2/30"),  # RDMA wants one
        ("198.18.0.101/24", "198.18.0.102/24"),  # the network of en0
    ],
)
def test_wrong_addresses_are_replaced(one: str, other: str) -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].addresses["en2"], cluster["b"].addresses["en2"] = one, other
    (link,) = addressed(cluster)
    assert (link.kept, texts([link])) == (False, [("10.213.64.1/30", "10.213.64.2/30")])


def test_addresses_that_collide_with_a_network_at_home_are_replaced() -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].addresses = {"en0": "192.168.0.17/24", "en2": "192.168.0.1/30"}
    cluster["b"].addresses = {"en0": "192.168.0.18/24", "en2": "192.168.0.2/30"}
    assert [link.kept for link in addressed(cluster)] == [False]


NINE_AND_TEN = ("10.213.64.9/30", "10.213.64.10/30")


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("10.213.64.9/30", "", NINE_AND_TEN),
        ("", "10.213.64.10/30", NINE_AND_TEN),
        ("10.213.64.10/30", "169.254.7.7/16", NINE_AND_TEN[::-1]),
        ("10.213.64.9/30", "10.213.64.14/30", NINE_AND_TEN),
        ("10.213.64.8/30", "", ("10.213.64.1/30", "10.213.64.2/30")),  # of the network itself
        ("10.213.64.9/24", "", ("10.213.64.1/30", "10.213.64.2/30")),
    ],
)
def test_end_that_has_lost_its_address_gets_it_again(one: str, other: str, found: tuple[str, str]) -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].addresses["en2"], cluster["b"].addresses["en2"] = one, other
    (link,) = addressed(cluster)
    assert (link.kept, texts([link])) == (False, [found])


def test_address_of_one_end_is_left_when_another_cable_has_its_network() -> None:
    cluster = macs(3).cable("a1", "b1").cable("b2", "c1")
    cluster["a"].addresses["en2"] = "10.213.64.9/30"
    cluster["b"].addresses["en3"], cluster["c"].addresses["en2"] = NINE_AND_TEN
    assert texts(addressed(cluster)) == [("10.213.64.1/30", "10.213.64.2/30"), NINE_AND_TEN]


def test_ports_that_a_bridge_has_taken_back_keep_their_addresses_and_are_set_up_again() -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].addresses["en2"], cluster["b"].addresses["en2"] = NINE_AND_TEN
    cluster["a"].bridge = ("en2",)
    (link,) = addressed(cluster)
    assert (link.kept, texts([link])) == (False, [NINE_AND_TEN])


@pytest.mark.parametrize("subnet", ["", "10.213.64.0/22", "10.213.64.0/29"])
def test_address_that_a_cable_left_on_another_port_takes_only_its_own_network(subnet: str) -> None:
    cluster = macs(2).cable("a2", "b1")
    cluster["a"].addresses["en2"], cluster["b"].addresses["en2"] = "10.213.64.1/30", "10.213.64.2/30"
    cluster["b"].routes = "10.213.64.6  02:0:0:0:0:9  UHLW  en4\n" if not subnet else ""
    assert texts(addressed(cluster, subnet)) == [("10.213.64.5/30", "10.213.64.6/30") if subnet else ("10.213.64.9/30", "10.213.64.10/30")]


def test_address_of_a_port_over_a_whole_block_is_named() -> None:
    cluster = macs(2).cable("a2", "b1")
    cluster["a"].addresses["en2"] = "10.99.0.1/16"
    with pytest.raises(NoSubnet, match=r"is in use: a has 10\.99\.0\.1/16 on en2"):
        addressed(cluster, "10.99.0.0/22")


@pytest.mark.parametrize("how", ["address", "route", "vpn"])
def test_block_that_somebody_uses_is_passed_over(how: str) -> None:
    cluster = macs(2).cable("a1", "b1")
    if how == "address":
        cluster["b"].addresses["en1"] = "10.213.65.7/24"
    elif how == "route":
        cluster["b"].routes = "10.213/16        198.18.0.9       UGSc    en0\n"
    else:
        cluster["b"].routes = "10.213.66        10.8.0.1         UGSc    utun4\n"
    (link,) = addressed(cluster)
    assert link.addresses[0].network.subnet_of(CANDIDATES[1])


def test_route_of_a_vpn_to_all_private_networks_leaves_none() -> None:
    cluster = macs(2).cable("a1", "b1")
    cluster["a"].routes = "10/8  1.1.1.1 UGSc utun4\n172.16/12 1.1.1.1 UGSc utun4\n192.168.0/16 1.1.1.1 UGSc utun4\n"
    with pytest.raises(NoSubnet, match="no block of addresses is free .*give one with --subnet"):
        addressed(cluster)


def test_given_block_is_taken() -> None:
    assert texts(addressed(macs(2).cable("a1", "b1"), "10.99.0.0/24")) == [("10.99.0.1/30", "10.99.0.2/30")]


def test_addresses_outside_of_a_given_block_are_replaced() -> None:
    cluster = macs(2).cable("a1", "b1")
    set_up(cluster, addressed(cluster))
    assert [link.kept for link in addressed(cluster, "10.99.0.0/24")] == [False]


@pytest.mark.parametrize(
    ("subnet", "text"),
    [
        ("198.18.0.0/16", "is in use: a has 198.18.0.1/24 on en0"),
        ("198.18.0.128/30", "is in use"),
        ("10.99.0.0/30", "is too small: 10.99.0.0/30 has room for 1 of 3 cables"),
    ],
)
def test_given_block_that_does_not_do_is_named_with_its_user(subnet: str, text: str) -> None:
    with pytest.raises(NoSubnet) as caught:
        addressed(ring(3), subnet)
    assert text in str(caught.value)


def test_uses_leave_out_loopback_and_half_of_the_world() -> None:
    cluster = macs(1)
    cluster["a"].routes = "0/1   1.1.1.1  UGSc utun4\n128.0/1  1.1.1.1 UGSc utun4\n"
    assert {str(use.network) for use in uses(hosts_of(cluster))} == {"198.18.0.0/24"}

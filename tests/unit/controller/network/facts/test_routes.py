"""Routes, and the one that an address takes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.routes import (
    parse_destination,
    parse_ip_route,
    parse_netstat,
    route_to,
)

NETSTAT = """Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            10.0.0.254         UGScg                 en0
default            link#19            UCSIg             bridge0      !
0/1                10.9.0.1           UGSc                utun4
10.0/24            link#4             UCS                   en0      !
10.0/24            link#5             UCSI                  en1      !
10.0.0.9           02:0:0:0:0:9       UHLWIi                en0   1178
10.0.0.8           02:0:0:0:0:8       UHLWI                 en1   1178
127                127.0.0.1          UCS                   lo0
224.0.0/4          link#4             UmCS                  en0      !
"""


def test_routes_of_a_mac() -> None:
    found = [(str(route.network), route.interface, route.scoped) for route in parse_netstat(NETSTAT)]
    assert found == [
        ("0.0.0.0/0", "en0", False),
        ("0.0.0.0/0", "bridge0", True),
        ("0.0.0.0/1", "utun4", False),
        ("10.0.0.0/24", "en0", False),
        ("10.0.0.0/24", "en1", True),
        ("10.0.0.9/32", "en0", True),
        ("10.0.0.8/32", "en1", True),
        ("127.0.0.0/8", "lo0", False),
    ]


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("default", "0.0.0.0/0"),
        ("192.168.1", "192.168.1.0/24"),
        ("10.1/16", "10.1.0.0/16"),
        ("17", "17.0.0.0/8"),
        ("198.18.0.0/24", "198.18.0.0/24"),
        ("198.18.0.7", "198.18.0.7/32"),
        ("128.0/1", "128.0.0.0/1"),
        ("link#4", None),
        ("300.1", None),
        ("10/64", None),
        ("fe80::1", None),
    ],
)
def test_short_networks_are_read_in_full(text: str, network: str | None) -> None:
    assert parse_destination(text) == (IPv4Network(network) if network else None)


def test_routes_of_linux() -> None:
    data: Any = [
        {"dst": "default", "gateway": "10.0.0.254", "dev": "eth0"},
        {"dst": "10.0.0.0/24", "dev": "eth0"},
        {"type": "local", "dst": "10.0.0.3", "dev": "eth0", "table": "local"},
        {"dst": "nonsense", "dev": "eth0"},
        {"dst": "10.7.0.0/16"},
        None,
    ]
    assert [str(route.network) for route in parse_ip_route(data)] == ["0.0.0.0/0", "10.0.0.0/24"]
    assert parse_ip_route({"dst": "default"}) == []


@pytest.mark.parametrize(
    ("address", "interface"), [("10.0.0.7", "en0"), ("10.0.0.8", "en0"), ("10.0.0.9", "en0"), ("1.2.3.4", "utun4"), ("200.1.1.1", "en0")]
)
def test_longest_prefix_wins_and_scoped_routes_do_not(address: str, interface: str) -> None:
    route = route_to(parse_netstat(NETSTAT), IPv4Address(address))
    assert route is not None
    assert route.interface == interface


def test_without_a_route_there_is_none() -> None:
    assert route_to([], IPv4Address("10.0.0.1")) is None


@pytest.mark.parametrize("text", ["Destination Netif\n10.0.0.0/8 en0\n", "Netif Destination\nen0 10\n", "Destination\n10.1 en0 U\n", "10"])
def test_table_with_other_columns_is_no_obstacle(text: str) -> None:
    assert parse_netstat(text) == []

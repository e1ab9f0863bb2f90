"""Hardware ports, services and kinds of interfaces."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.hardware import (
    Service,
    kind_of,
    parse_hardware_ports,
    parse_service_order,
)

PORTS = """
Hardware Port: Ethernet
Device: en0
Ethernet Address: 02:00:00:00:00:01

Hardware Port: Thunderbolt 2
Device: en6
Ethernet Address: 02:00:00:00:00:02

Hardware Port: Thunderbolt Bridge
Device: bridge0
Ethernet Address: 02:00:00:00:00:03

VLAN Configurations
===================
"""


def test_ports_by_device() -> None:
    assert parse_hardware_ports(PORTS) == {"en0": "Ethernet", "en6": "Thunderbolt 2", "bridge0": "Thunderbolt Bridge"}


NO_NAMES = [f"Hardware Port: Thunderbolt 1\nDevice: {name}\n" for name in ("{{lookup('pipe','id')}}", "{%x%}", "-x", "en\x1b[2J", "en0 x")]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "Device: en0\n", "Hardware Port: X\nDevice: \n", "Hardware Port: \nDevice: en0\n", *NO_NAMES]
)
def test_text_without_ports(text: str) -> None:
    assert parse_hardware_ports(text) == {}


def test_services_in_their_order() -> None:
    text = """An asterisk (*) denotes that a network service is disabled.
(1) Ethernet
(Hardware Port: Ethernet, Device: en0)

(*) Thunderbolt Bridge
(Hardware Port: Thunderbolt Bridge, Device: bridge0)

(2) Fabric (blue)
(Hardware Port: Thunderbolt 1, Device: en2)
"""
    ethernet, bridge, blue = (
        Service("Ethernet", "en0"),
        Service("Thunderbolt Bridge", "bridge0", enabled=False),
        Service("Fabric (blue)", "en2"),
    )
    assert parse_service_order(text) == [ethernet, bridge, blue]


@pytest.mark.parametrize(
    ("interface", "port", "kind"),
    [
        ("en2", "Thunderbolt 1", "thunderbolt"),
        ("en0", "Ethernet", "ethernet"),
        ("en8", "Ethernet Adapter (en8)", "ethernet"),
        ("en7", "USB 10/100/1000 LAN", "ethernet"),
        ("en9", "Thunderbolt Ethernet Slot 1", "ethernet"),
        ("en0", "Wi-Fi", "wifi"),
        ("en0", "WLAN", "wifi"),
        ("en1", "AirPort", "wifi"),
        ("bridge0", "Thunderbolt Bridge", "bridge"),
        ("bridge0", "Thunderbolt-Br\u00fccke", "bridge"),
        ("bridge0", "Pont Thunderbolt Ethernet", "bridge"),
        ("en6", "Bluetooth PAN", "other"),
        ("feth1234", "", "vpn"),
        ("en5", "iPhone USB", "other"),
        ("utun4", "", "vpn"),
        ("bridge100", "", "bridge"),
        ("lo0", "", "loopback"),
        ("awdl0", "", "other"),
    ],
)
def test_kind_is_that_of_the_name_else_of_the_port(interface: str, port: str, kind: str) -> None:
    assert kind_of(interface, port) == kind

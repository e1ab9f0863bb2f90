"""Interfaces of macOS and of Linux."""

from __future__ import annotations

from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.interfaces import is_usual, parse_ifconfig, parse_ip_addr

IFCONFIG = """lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
	inet 127.0.0.1 netmask 0xff000000
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
	ether 02:00:00:00:00:01
	inet6 fe80::1%en0 prefixlen 64 secured scopeid 0x4
	inet 10.0.0.7 netmask 0xffffff00 broadcast 10.0.0.255
	inet 10.0.1.7 netmask 0xffffff00 broadcast 10.0.1.255
	media: autoselect (10Gbase-T <full-duplex>)
	status: active
en2: flags=8963<UP,BROADCAST,SMART,RUNNING,PROMISC,SIMPLEX,MULTICAST> mtu 1500
	media: autoselect <full-duplex>
	status: inactive
bridge0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
	member: en2 flags=3<LEARNING,DISCOVER>
		ifmaxaddr 0 port 10 priority 0 path cost 0
	status: inactive
utun4: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> mtu 1280
	inet 100.64.0.9 --> 100.64.0.9 netmask 0xffffffff
"""


def test_interfaces_of_a_mac() -> None:
    found = parse_ifconfig(IFCONFIG, {"en0": "Ethernet", "en2": "Thunderbolt 1"})
    assert [str(address) for address in found["en0"].addresses] == ["10.0.0.7/24", "10.0.1.7/24"]
    assert (found["en0"].kind, found["en0"].speed, found["en0"].active) == ("ethernet", 10000, True)
    assert (found["en2"].kind, found["en2"].bridge, found["en2"].active) == ("thunderbolt", "bridge0", False)
    assert (found["utun4"].kind, str(found["utun4"].addresses[0])) == ("vpn", "100.64.0.9/32")


def test_recording_of_the_lab_is_read() -> None:
    text = (Path(__file__).parents[4] / "lab/mac/recordings/ifconfig.txt").read_text()
    found = parse_ifconfig(text, {})
    assert [name for name, each in found.items() if each.bridge] == ["en3", "en4", "en5", "en6", "en7"]


@pytest.mark.parametrize(("media", "speed"), [("1000baseT", 1000), ("2500Base-T", 2500), ("10Gbase-T", 10000), ("100baseTX", 100), ("", 0)])
def test_speed_is_that_of_the_medium(media: str, speed: int) -> None:
    assert parse_ifconfig(f"en0: flags=1<UP> mtu 1500\n\tmedia: autoselect ({media} <full-duplex>)\n", {})["en0"].speed == speed


@pytest.mark.parametrize(
    "text", ["", "\n\n", "no interfaces here", "\tinet 10.0.0.1 netmask 0xff\n", "{{lookup(x)}}: flags=1<UP>\n", "-x: flags=1<UP>\n"]
)
def test_text_without_interfaces(text: str) -> None:
    assert parse_ifconfig(text, {}) == {}


@pytest.mark.parametrize("line", ["inet 10.0.0 netmask 0xffffff00", "inet 10.0.0.1 netmask 0xzz", "inet 300.0.0.1 netmask 0xff000000"])
def test_odd_addresses_are_left_out(line: str) -> None:
    assert parse_ifconfig(f"en0: flags=1<UP> mtu 1500\n\t{line}\n", {})["en0"].addresses == ()


def address(name: str, *addresses: str) -> dict[str, Any]:
    infos = [{"family": "inet", "local": each.split("/")[0], "prefixlen": int(each.split("/")[1])} for each in addresses]
    return {"ifname": name, "addr_info": infos}


def test_interfaces_of_linux() -> None:
    facts = {
        "eth0": {"type": "1", "speed": "25000", "carrier": "1", "is": ["device"], "driver": "mlx5_core"},
        "wlan0": {"type": "1", "is": ["wireless", "device"]},
        "thunderbolt0": {"type": "1", "is": ["device"], "driver": "thunderbolt-net", "master": "br0", "carrier": "0"},
        "wg0": {"type": "65534", "uevent": "DEVTYPE=wireguard"},
        "br0": {"type": "1", "is": ["bridge"]},
        "lo": {"type": "772"},
    }
    found = parse_ip_addr([address("eth0", "10.0.0.3/24"), address("lo", "127.0.0.1/8")], facts)
    assert {name: each.kind for name, each in found.items()} == {
        "eth0": "ethernet",
        "lo": "loopback",
        "wlan0": "wifi",
        "thunderbolt0": "thunderbolt",
        "wg0": "vpn",
        "br0": "bridge",
    }
    assert (found["eth0"].speed, found["thunderbolt0"].bridge, found["thunderbolt0"].active) == (25000, "br0", False)


UP, LINKED = {"flags": ["BROADCAST", "UP", "LOWER_UP"]}, {"operstate": "UP"}


@pytest.mark.parametrize(
    ("entry", "carrier", "active"),
    [
        (UP | LINKED, "1", True),
        (UP, "0", False),
        ({"flags": ["BROADCAST"], "operstate": "DOWN"}, "", False),
        ({"flags": ["BROADCAST"]}, "1", False),
        (UP | {"operstate": "DOWN"}, None, False),
        (UP | {"operstate": "UNKNOWN"}, None, True),
        (UP | {"operstate": "LOWERLAYERDOWN"}, "", False),
        ({}, None, True),
        ({"flags": 7, "operstate": 7}, "1", True),
    ],
)
def test_linux_interface_is_active_when_it_is_up_and_linked(entry: dict[str, Any], carrier: str | None, active: bool) -> None:
    facts = {} if carrier is None else {"carrier": carrier}
    assert parse_ip_addr([{**address("eth0", "10.0.0.3/24"), **entry}], {"eth0": facts})["eth0"].active is active


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({"is": ["device"], "speed": "10000"}, "ethernet"),
        ({"is": []}, "bridge"),  # of a container
        ({"is": ["tun_flags"]}, "bridge"),  # of a virtual machine
        ({"is": ["device"], "driver": "thunderbolt-net"}, "bridge"),
    ],
)
def test_linux_bridge_with_a_wired_port_is_ethernet(member: dict[str, Any], kind: str) -> None:
    facts = {"br0": {"is": ["bridge"]}, "port0": {**member, "master": "br0"}, "port1": {"is": ["device"]}}
    bridge = parse_ip_addr([address("br0", "10.0.0.3/24")], facts)["br0"]
    assert (bridge.kind, bridge.speed) == (kind, 10000 if kind == "ethernet" else 0)


@pytest.mark.parametrize(
    ("addresses", "facts"),
    [
        (None, None),
        ({}, []),
        ([None, {"ifname": 1}, {"ifname": "e", "addr_info": "x"}], {}),
        ([{"ifname": "e", "addr_info": [{"local": "x", "prefixlen": 99}, 7]}], {"e": 7}),
    ],
)
def test_odd_data_gives_no_addresses(addresses: Any, facts: Any) -> None:
    assert all(each.addresses == () for each in parse_ip_addr(addresses, facts).values())


@pytest.mark.parametrize(
    ("text", "usual"), [("10.0.0.1/24", True), ("127.0.0.1/8", False), ("169.254.3.4/16", False), ("0.0.0.0/8", False)]
)
def test_addresses_that_others_can_use(text: str, usual: bool) -> None:
    assert is_usual(IPv4Interface(text)) is usual

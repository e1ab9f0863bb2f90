"""The programs that show a Mac's ports, in the documented formats."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import ports
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.ports import (
    leased_of,
    parse_blocks,
    parse_info,
    parse_ports,
    parse_services,
)
from tests.unit.local_agent import LocalAgent


def test_ports_have_the_device_that_is_listed() -> None:
    text = "\nHardware Port: Thunderbolt 2\nDevice: en6\nEthernet Address: x\n\nHardware Port: Odd\nDevice: \n\nVLAN Configurations\n===\n"
    assert parse_ports(text) == {"en6": "Thunderbolt 2"}


def test_services_that_are_on_are_those_of_a_port() -> None:
    text = (
        "An asterisk (*) denotes that a network service is disabled.\n"
        "(*) Old\n(Hardware Port: Thunderbolt 1, Device: en2)\n\n(2) Fabric (new)\n(Hardware Port: Thunderbolt 1, Device: en2)\n"
        "(3) Third\n(Hardware Port: Thunderbolt 1, Device: en2)\n"
    )
    assert parse_services(text) == {"en2": ["Fabric (new)", "Third"]}


@pytest.mark.parametrize(
    ("text", "method", "values"),
    [
        (
            "Manual Configuration\nIP address: 10.0.0.1\nSubnet mask: 255.255.255.0\nRouter: (null)\nIPv6: Automatic\n",
            "manual",
            ("10.0.0.1", "255.255.255.0", ""),
        ),
        (
            "Manual Configuration\nIP address: 10.0.0.1\nSubnet mask: 255.0.0.0\nRouter: 10.0.0.9\n",
            "manual",
            ("10.0.0.1", "255.0.0.0", "10.0.0.9"),
        ),
        ("DHCP Configuration\nIP address: 10.0.0.7\nSubnet mask: 255.255.255.0\nRouter: 10.0.0.1\nClient ID: \n", "dhcp", ("", "", "")),
        ("Manually Using DHCP Router Configuration\nIP address: 10.0.0.7\n", "other", ("", "", "")),
        ("BOOTP Configuration\n", "other", ("", "", "")),
        ("IPv6: Automatic\nIPv6 IP address: none\n", "off", ("", "", "")),
        ("", "off", ("", "", "")),
    ],
)
def test_settings_of_a_service_are_read(text: str, method: str, values: tuple[str, str, str]) -> None:
    found = parse_info(text)
    assert (found["method"], (found["ip"], found["mask"], found["router"])) == (method, values)


def test_addresses_of_dhcp_are_told_from_those_by_hand() -> None:
    addresses = [["10.0.0.7", "255.255.255.0"], ["169.254.3.3", "255.255.0.0"], ["192.168.0.1", "255.255.255.252"]]
    assert leased_of("DHCP Configuration\nIP address: 10.0.0.7\nSubnet mask: 255.255.255.0\n", addresses) == addresses[:2]


def test_addresses_and_members_are_read() -> None:
    text = (
        "en2: flags=8863<UP> mtu 1500\n\tinet 10.213.64.1 netmask 0xfffffffc broadcast 10.213.64.3\n\tinet6 fe80::1%en2\n"
        "bridge0: flags=8863<UP> mtu 1500\n\tmember: en3 flags=3<LEARNING,DISCOVER>\n\tmember: en4 flags=3<LEARNING>\n"
    )
    found = parse_blocks(text)
    assert found["en2"]["addresses"] == [["10.213.64.1", "255.255.255.252"]]
    assert found["en2"]["inet6"] == ["fe80::1"]
    assert found["bridge0"]["members"] == ["en3", "en4"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo fine", ""),
        ("echo '** Error: The parameters were not valid.'", "** Error: The parameters were not valid."),
        ("echo why; exit 3", "why"),
        ("exit 3", "it ended with status 3"),
    ],
)
def test_errors_on_standard_output_are_errors_too(program: str, reason: str) -> None:
    _text, said = ports.run(LocalAgent(), ["/bin/sh", "-c", program])
    assert said == (f"/bin/sh: {reason}" if reason else "")


def test_program_that_is_not_there_is_a_reason() -> None:
    assert ports.run(LocalAgent(), ["/no/such/program"])[1] == "/no/such/program: No such file or directory"

"""The shapes of answers about a network are sound; test_answers holds every call to them."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.programs import MOST
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.network.port_setup import (
    DHCP,
    MANUAL,
    OFF,
    OTHER,
    steps,
    wanted_state,
    without_service,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.shapes import Misfit
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.network_answers import ANSWERS, LONGEST_ANSWER, MOST_ANSWERS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts import answers

PORT = {"interface": "en2", "ip": "10.0.0.1", "mask": "255.255.255.252"}


def test_every_call_of_the_wing_has_a_shape() -> None:
    assert set(ANSWERS) == set(FUNCTIONS)


def test_limits_are_those_of_the_agent_and_of_recordings() -> None:
    assert LONGEST_ANSWER == MOST == answers.MOST_CHARACTERS
    assert MOST_ANSWERS == answers.MOST_ANSWERS


def row(*commands: list[str], interface: str = "en2") -> dict[str, Any]:
    return {"interface": interface, "before": "", "after": "", "rejoins": "", "steps": list(commands), "persistent": True, "note": ""}


def set_up(*commands: list[str], check: bool = True) -> Any:
    return ANSWERS["set_up_port"](port=PORT, keep=[], check=check)(row(*commands))


def undone(*commands: list[str]) -> Any:
    return ANSWERS["undo_ports"](keep=[], check=True)([row(*commands)])


def service(method: str, name: str = "Fabric -x $(y)") -> dict[str, str]:
    ip, mask, router = ("10.9.9.1", "255.255.0.0", "10.9.9.9") if method == MANUAL else ("", "", "")
    return {"name": name, "method": method, "ip": ip, "mask": mask, "router": router}


SERVICES = [None, *map(service, (MANUAL, DHCP, OFF, OTHER)), {**service(MANUAL), "router": ""}]
ADDRESSES: list[list[list[str]]] = [[], [["169.254.1.1", "255.255.0.0"]], [["10.0.0.1", "255.255.255.252"], ["10.9.9.1", "255.255.0.0"]]]
STATES = [
    {"interface": "en2", "hardware": hardware, "bridge": bridge, "addresses": addresses, "service": one}
    for hardware, bridge, addresses, one in product(["Thunderbolt 1", ""], ["", "bridge0"], ADDRESSES, SERVICES)
    if hardware or not one
]


def test_every_step_of_a_setup_and_its_undo_is_taken() -> None:
    for now in STATES:
        wanted = wanted_state(now, PORT["ip"], PORT["mask"])
        set_up(*steps(now, wanted))
        if wanted["service"] == now["service"]:
            continue
        # It may fail before a step, and goes on without the service.
        half = {**now, "bridge": "", "service": wanted["service"]}
        set_up(*steps(now, wanted), *steps(half, without_service(now, wanted)), check=False)
        for before in STATES:
            if before["hardware"] == now["hardware"]:
                undone(*steps(wanted, before), *steps(half, before))


WRONG = [
    [],
    ["rm", "-rf", "/"],
    ["networksetup", "-setwebproxy", "Wi-Fi", "evil.example", "80"],
    ["networksetup", "-setdnsservers", "Wi-Fi", "6.6.6.6"],
    ["networksetup", "-setmanual", "Fabric", "10.0.0.1", "255.255.255.252", "10.0.0.1", "6.6.6.6"],
    ["networksetup", "-setdhcp", "Fabric", "x"],
    ["ifconfig", "en0", "inet", "10.0.0.1", "netmask", "255.255.255.252"],
    ["ifconfig", "en0", "down"],
    ["ifconfig", "-a"],
    ["ifconfig", "-x", "deletem", "en2"],
    ["ifconfig", "bridge0", "deletem", "en0"],
]
NOT_ASKED = [
    ["networksetup", "-setmanual", "Wi-Fi", "10.0.0.2", "255.255.255.252"],
    ["networksetup", "-setmanual", "Wi-Fi", "10.0.0.1", "255.255.0.0"],
    ["networksetup", "-setdhcp", "Wi-Fi"],
    ["networksetup", "-removenetworkservice", "Wi-Fi"],
    ["networksetup", "-createnetworkservice", "x", "Wi-Fi"],
    ["ifconfig", "en2", "inet", "10.0.0.2", "netmask", "255.255.255.252"],
]


@pytest.mark.parametrize("command", WRONG)
def test_step_of_another_kind_or_port_is_refused(command: list[str]) -> None:
    for take in (set_up, undone):
        with pytest.raises(Misfit):
            take(command)


@pytest.mark.parametrize("command", NOT_ASKED)
def test_step_with_what_was_not_asked_for_is_refused(command: list[str]) -> None:
    with pytest.raises(Misfit):
        set_up(command)


def test_answer_is_about_the_port_that_was_asked_for() -> None:
    with pytest.raises(Misfit):
        ANSWERS["set_up_port"](port=PORT, keep=[], check=True)(row(interface="en0"))

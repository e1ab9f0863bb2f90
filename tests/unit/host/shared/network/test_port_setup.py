"""Steps between two states of a port: setting up and undoing are the same function."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.network.port_setup import (
    describe,
    is_persistent,
    settings_of,
    steps,
    taken_back,
    wanted_state,
    without_service,
)

MASK = "255.255.255.252"
IP = "10.213.64.1"


def service(method: str, name: str = "Fabric $(reboot)", **more: str) -> dict[str, str]:
    return {"name": name, "method": method, "ip": "", "mask": "", "router": "", **more}


def state(**more: Any) -> dict[str, Any]:
    return {"interface": "en2", "hardware": "Thunderbolt 1", "bridge": "", "addresses": [], "leased": [], "service": None, **more}


OLD = ["169.254.1.1", "255.255.0.0"]
MANUAL = service("manual", "Home", ip="10.0.0.9", mask="255.255.255.0", router="10.0.0.1")
CASES = {
    "bare": (
        state(),
        [["-createnetworkservice", "mlxlaunch Thunderbolt 1", "Thunderbolt 1"], ["-setmanual", "mlxlaunch Thunderbolt 1", IP, MASK]],
        [["en2", "inet", IP, "-alias"], ["-removenetworkservice", "mlxlaunch Thunderbolt 1"]],
    ),
    "in a bridge, with a lease": (
        state(bridge="bridge0", addresses=[OLD], leased=[OLD], service=service("dhcp")),
        [["bridge0", "deletem", "en2"], ["en2", "inet", OLD[0], "-alias"], ["-setmanual", "Fabric $(reboot)", IP, MASK]],
        [["en2", "inet", IP, "-alias"], ["-setdhcp", "Fabric $(reboot)"], ["bridge0", "addm", "en2"]],
    ),
    "set by hand before": (
        state(addresses=[["10.0.0.9", "255.255.255.0"]], service=MANUAL),
        [["en2", "inet", "10.0.0.9", "-alias"], ["-setmanual", "Home", IP, MASK]],
        [["en2", "inet", IP, "-alias"], ["-setmanual", "Home", "10.0.0.9", "255.255.255.0", "10.0.0.1"]],
    ),
    "two addresses by ifconfig, no hardware port": (
        state(hardware="", addresses=[OLD, ["10.9.9.1", MASK]]),
        [["en2", "inet", OLD[0], "-alias"], ["en2", "inet", "10.9.9.1", "-alias"], ["en2", "inet", IP, "netmask", MASK]],
        [
            ["en2", "inet", IP, "-alias"],
            ["en2", "inet", OLD[0], "netmask", OLD[1]],
            ["en2", "inet", "10.9.9.1", "netmask", MASK, "alias"],
        ],
    ),
    "a service that cannot be put back": (
        state(service=service("other")),
        [["en2", "inet", IP, "netmask", MASK, "alias"]],
        [["en2", "inet", IP, "-alias"]],
    ),
    "back in a bridge after a restart, with a service that is right": (
        state(bridge="bridge0", service=service("manual", ip=IP, mask=MASK)),
        [["bridge0", "deletem", "en2"], ["-setmanual", "Fabric $(reboot)", IP, MASK]],
        [["en2", "inet", IP, "-alias"], ["bridge0", "addm", "en2"]],
    ),
    "switched off": (
        state(service=service("off")),
        [["-setmanual", "Fabric $(reboot)", IP, MASK]],
        [["en2", "inet", IP, "-alias"], ["-setv4off", "Fabric $(reboot)"]],
    ),
}


@pytest.mark.parametrize(("before", "there", "back"), CASES.values(), ids=CASES)
def test_steps_lead_there_and_back(before: dict[str, Any], there: list[list[str]], back: list[list[str]]) -> None:
    wanted = wanted_state(before, IP, MASK)
    assert [step[1:] for step in steps(before, wanted)] == there
    there_now = dict(wanted, leased=[])
    assert [step[1:] for step in steps(there_now, taken_back(there_now, before, settings_of(before, wanted))[0])] == back
    assert steps(wanted, wanted) == []
    assert steps(before, before) == []


def test_right_address_without_a_service_becomes_one_that_stays() -> None:
    before = state(addresses=[[IP, MASK]])
    wanted = wanted_state(before, IP, MASK)
    assert [step[0] for step in steps(before, wanted)] == ["networksetup", "networksetup"]
    assert (is_persistent(before), is_persistent(wanted)) == (False, True)


@pytest.mark.parametrize(
    ("known", "there"),
    [
        (None, []),
        (service("off"), []),
        (service("dhcp"), [["-setv4off", "Fabric $(reboot)"]]),
        (MANUAL, [["-setv4off", "Home"]]),
    ],
)
def test_without_a_service_the_address_is_one_until_the_restart(known: dict[str, str] | None, there: list[list[str]]) -> None:
    before = state(service=known)
    wanted = without_service(before, wanted_state(before, IP, MASK))
    assert [step[1:] for step in steps(before, wanted)] == [*there, ["en2", "inet", IP, "netmask", MASK]]
    assert not is_persistent(wanted)


def test_state_is_a_line() -> None:
    before = state(bridge="bridge0", addresses=[OLD], service=service("dhcp", "Fabric"))
    assert describe(before) == "en2: member of bridge0, 169.254.1.1/16, service Fabric, dhcp"
    assert describe(state()) == "en2: no address, no service"

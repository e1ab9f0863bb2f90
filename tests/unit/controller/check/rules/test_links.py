"""What is told of addresses and of connections between neighbours."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import Link
from tests.unit.controller.check.good import cell


def test_address_of_another_and_port_in_use_fail() -> None:
    wrong = cell("addresses", {"addresses": {"problems": ["does not own 10.0.0.9; it has en5 10.0.0.1"]}})
    assert (wrong.value, wrong.status) == ("wrong", "fail")
    assert wrong.notes[0].endswith("; set mlx_ips to its own")
    text = "port 10.0.0.1:32323 cannot be used: Address already in use; try another --starting-port"
    taken = cell("addresses", {"addresses": {"problems": [text]}, "leftovers": {"jobs": ["20260101-000000-abcdef"]}})
    assert (taken.value, taken.notes) == ("taken", [f"{text} (job 20260101-000000-abcdef runs there)"])


def link(errno: str, problem: str) -> Link:
    return Link("b", "10.0.0.2:32324", "10.0.0.1", tried=True, problem=problem, errno=errno)


LINUX = {"system": {"name": "Debian"}}
DENIED = "No route to host (EHOSTUNREACH, errno 65); macOS 15 or newer does that to programs of an app without the Local Network permission"


@pytest.mark.parametrize(
    ("change", "local", "errno", "problem", "told"),
    [
        (
            {},
            True,
            "EHOSTUNREACH",
            "No route to host",
            [DENIED, "Privacy & Security, Local Network", "ansible_connection: ssh"],
        ),
        ({}, False, "EHOSTUNREACH", "No route to host", ["(EHOSTUNREACH, errno 65); look at the cable", "exempts programs started by ssh"]),
        (LINUX, True, "EHOSTUNREACH", "No route to host", ["No route to host; look at the cable"]),
        ({}, False, "ECONNREFUSED", "Connection refused", ["firewalls"]),
        (LINUX, False, "ECONNREFUSED", "Connection refused", ["firewalls"]),
        ({}, False, "ETIMEDOUT", "no answer", ["cable", "VPNs"]),
        (LINUX, False, "ETIMEDOUT", "no answer", ["cable", "VPNs"]),
        ({}, False, "EADDRNOTAVAIL", "Can't assign requested address", ["mlxlaunch network --apply"]),
        (LINUX, False, "EUNATCH", "Protocol driver not attached", ["look at mlx_ips"]),
        ({}, False, "ENETDOWN", "Network is down", ["plug the cable in again"]),
        ({}, False, "ENETUNREACH", "Network is unreachable", ["no address in that network"]),
        ({}, False, "EHOSTDOWN", "Host is down", ["look at the cable"]),
        ({}, False, "", "connected, but to something else", ["look at what answers there"]),
    ],
)
def test_connection_that_fails_has_its_next_step(change: dict[str, Any], local: bool, errno: str, problem: str, told: list[str]) -> None:
    found = cell("neighbours", change, local=local, links=[link(errno, problem)])
    assert (found.value, found.status) == ("0/1", "fail")
    assert found.notes[0].startswith(f"cannot reach b at 10.0.0.2:32324 from 10.0.0.1: {problem}")
    assert [text for text in told if text not in found.notes[0]] == []
    assert ("Local Network" in found.notes[0]) == (errno == "EHOSTUNREACH" and not change)


def test_neighbours_that_could_not_be_tried_are_nobody_s_fault() -> None:
    untried = Link("b", "10.0.0.2:32324")
    assert cell("neighbours", links=[untried]).status == "unknown"
    found = cell("neighbours", links=[untried, link("", "")])
    assert (found.value, found.status) == ("1/2", "ok")


def test_many_broken_links_are_counted() -> None:
    found = cell("neighbours", links=[link("ETIMEDOUT", "no answer") for _ in range(9)])
    assert len(found.notes) == 5
    assert found.notes[-1] == "and 5 more connections"

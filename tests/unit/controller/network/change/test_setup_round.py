"""The rounds of a setup: a check of all hosts first, then root; a failure is told with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.result import Work, diff_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.setup_round import SetupRound, ports_of
from tests.unit.controller.fleets import Events, FakeFleet, lost
from tests.unit.macs import ring

PLAN = ring(3).plan(over="thunderbolt")
HOSTS = ["a", "b", "c"]


def told(port: Mapping[str, str], steps: int = 1) -> dict[str, Any]:
    return {
        "interface": port["interface"],
        "before": "",
        "after": "",
        "steps": [["x"]] * steps,
        "persistent": True,
        "rejoins": "",
        "note": "",
    }


def answers(**more: Any) -> dict[str, Any]:
    return {"set_up_port": lambda port, **_how: told(port), "running": {"jobs": [], "uid": 0}, **more}


def carried_out(
    users: Mapping[str, Mapping[str, Any]] | None = None,
    roots: Mapping[str, Mapping[str, Any]] | None = None,
    reasons: Mapping[str, str] | None = None,
    *,
    dry_run: bool = False,
) -> tuple[Work, FakeFleet | None]:
    """Return the work on three Macs, and the agents that were root."""
    made: list[FakeFleet] = []

    def root(hosts: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        scripts = {host: answers(**(roots or {}).get(host, {})) for host in hosts if host not in (reasons or {})}
        made.append(FakeFleet(scripts))
        return made[-1], reasons or {}

    fleet = FakeFleet({host: answers(**(users or {}).get(host, {})) for host in HOSTS})
    with fleet.open(Events()):
        return SetupRound(fleet, root, Events(), dry_run=dry_run).set_up(PLAN), made[0] if made else None


def states(work: Work) -> dict[str, str]:
    return {change.host: change.state for change in work.changes or ()}


def test_every_port_is_checked_then_set_as_root() -> None:
    work, root = carried_out()
    assert states(work) == dict.fromkeys(HOSTS, "set")
    assert root is not None
    assert [call["port"] for call in root.agents["a"].named("set_up_port")] == ports_of(PLAN)["a"]
    assert {call["check"] for call in root.agents["a"].named("set_up_port")} == {False}
    assert root.agents["a"].named("set_up_port")[0]["keep"] == ["198.18.0.1"]


def test_dry_run_asks_and_becomes_nobody() -> None:
    work, root = carried_out(dry_run=True)
    assert (states(work), root) == (dict.fromkeys(HOSTS, "would change"), None)


def test_hosts_that_are_right_are_left_alone() -> None:
    done = {"set_up_port": lambda port, **_how: told(port, 0)}
    work, root = carried_out(users={"b": done})
    assert states(work)["b"] == "unchanged"
    assert root is not None
    assert list(root.agents) == ["a", "c"]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ({"set_up_port": HostFailed("en2 carries the connection")}, "b: en2 carries the connection; nothing was changed"),
        ({"set_up_port": lost()}, "b: silent for 30 s: network, host or sleep; nothing was changed"),
        ({"running": {"jobs": ["20260101-000000-aaaaaa"], "uid": 1}}, "b: job 20260101-000000-aaaaaa runs there"),
    ],
)
def test_refusal_of_one_host_changes_none(script: dict[str, Any], text: str) -> None:
    work, root = carried_out(users={"b": script})
    assert text in work.refusal
    assert root is None


@pytest.mark.parametrize(
    ("roots", "reasons", "text"),
    [
        ({"b": {"running": HostFailed("sudo: a password is required")}}, {}, "sudo: a password is required; run these there"),
        ({"b": {"running": {"jobs": [], "uid": 501}}}, {}, "become gives another user than root; leave become_user out; run these there"),
        ({}, {"b": "b: become with a password is not possible"}, "become with a password is not possible; run these there"),
    ],
)
def test_host_without_root_gets_its_commands_and_the_others_are_set(roots: Any, reasons: Any, text: str) -> None:
    work, _root = carried_out(roots=roots, reasons=reasons)
    assert states(work) == {"a": "set", "b": "by hand", "c": "set"}
    (change,) = [change for change in work.changes or () if change.host == "b"]
    assert text in change.text
    assert [len(port["steps"]) for port in change.ports] == [1, 1]


def test_host_that_vanishes_is_told_with_what_is_known() -> None:
    def vanish(port: Mapping[str, str], **_how: Any) -> dict[str, Any]:
        if port["interface"] == "en3":
            raise lost()
        return told(port)

    work, _root = carried_out(roots={"b": {"set_up_port": vanish}})
    (change,) = [change for change in work.changes or () if change.host == "b"]
    assert change.state == "failed"
    assert ("en3: not known", work.changed) in [(port["after"], work.changed) for port in change.ports]
    assert "not known: en3" in change.text
    assert "--undo" in change.text


@pytest.mark.parametrize("begun", [True, False])
def test_port_that_fails_ends_the_setup_of_its_host(begun: bool) -> None:
    def fail(port: Mapping[str, str], **_how: Any) -> dict[str, Any]:
        return {**told(port, int(begun)), "error": "no address; now en3: no address"}

    work, root = carried_out(roots={"b": {"set_up_port": fail}})
    (change,) = [change for change in work.changes or () if change.host == "b"]
    first, second = (port["interface"] for port in ports_of(PLAN)["b"])
    assert change.text == f"{first}: no address; now en3: no address; not begun: {second}; then run this again, or --undo"
    assert Work(changes=(change,)).changed == begun
    assert len(diff_of(Work(changes=(change,)))) == begun
    assert root is not None
    assert len(root.agents["b"].named("set_up_port")) == 1


@pytest.mark.parametrize("port", [told({"interface": "en2"}), {**told({"interface": "en2"}, 0), "note": "it was so already"}])
def test_undo_goes_over_all_hosts_with_a_record(port: dict[str, Any]) -> None:
    back = {"undo_ports": lambda **_how: [port]}
    fleet, root = FakeFleet({"a": answers(**back)}), FakeFleet({"a": answers(**back)})
    with fleet.open(Events()):
        work = SetupRound(fleet, lambda _hosts: (root, {}), Events(), dry_run=False).undo(["a"], {"a": ["198.18.0.1"]})
    assert (work.undo, states(work)) == (True, {"a": "set"})
    assert root.agents["a"].named("undo_ports") == [{"keep": ["198.18.0.1"], "check": False}]
    assert [list(change.ports) for change in work.changes or ()] == [[port]]

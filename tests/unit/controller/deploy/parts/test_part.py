"""The means of a part: answers of hosts, and a ledger of changes that stands however the deploy ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.part import DeployRun, Ledger
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.sender import Sender
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import Agent, HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import HostsFailed
from tests.unit.controller.fleets import Events, FakeFleet


@pytest.fixture
def events() -> Events:
    return Events()


def run_on(fleet: FakeFleet, events: Events, *, check: bool = False) -> DeployRun:
    return DeployRun(fleet, events, Ledger(), {}, Sender({}, {}, Path("/none")), check=check)


def build(agent: Agent) -> str:
    return str(agent.call("build"))


def test_hosts_that_are_named_are_asked(events: Events) -> None:
    fleet = FakeFleet({"a": {"build": "/e"}, "b": {"build": "/e"}})
    with fleet.open(events):
        assert run_on(fleet, events).ask("build", build, ["b"]) == {"b": "/e"}
    assert fleet.agents["a"].calls == []


def test_host_that_has_got_a_part_is_noted_when_others_fail(events: Events) -> None:
    fleet = FakeFleet({"a": {"build": "/e"}, "b": {"build": HostFailed("disk is full")}})
    run = run_on(fleet, events)
    with fleet.open(events), pytest.raises(HostsFailed) as caught:
        run.deploy("environment", "/e", "build", build, ["a", "b"])
    assert caught.value.problems == {"b": "disk is full"}
    assert run.ledger.changed == {"a": ["environment"]}
    assert events.of("host_deployed") == [("a", {"what": "environment", "path": "/e"})]


def test_parts_of_a_host_are_noted_in_their_order(events: Events) -> None:
    run = run_on(FakeFleet({}), events)
    run.note("environment", "/e", ["a", "b"])
    run.note("project", "/p", ["a"])
    assert run.ledger.changed == {"a": ["environment", "project"], "b": ["environment"]}


def test_check_mode_notes_and_reports_no_deploy(events: Events) -> None:
    run = run_on(FakeFleet({}), events, check=True)
    run.note("project", "/p", ["a"])
    assert run.ledger.changed == {"a": ["project"]}
    assert events.all == []

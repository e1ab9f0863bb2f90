"""One run: a look at all hosts, then root on those that need it; each failure is told with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.result import Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.run import PrepareRun
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work
from tests.unit.controller.fleets import Events, FakeFleet, lost
from tests.unit.controller.prepare.answers import SLEEP, linux, mac, row

HOSTS = ("a", "b", "c")
WISHES = {"a": {"sleep": True}, "b": {"sleep": True, "wired_limit": 4096}, "c": {"linger": True}}
Script = Mapping[str, Any]


def sleeping(*, trial: bool, **_asked: Any) -> dict[str, Any]:
    return mac(row("sleep", "would change" if trial else "changed", **SLEEP))


def right(**_asked: Any) -> dict[str, Any]:
    return mac(row("sleep", "right"))


class Stage:
    """A run over three hosts whose agents answer from scripts, and what became root meanwhile."""

    def __init__(
        self,
        work: Work,
        users: Mapping[str, Script] | None = None,
        roots: Mapping[str, Script] | None = None,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        self.roots: list[FakeFleet] = []
        self._scripts = {
            host: {"running": {"jobs": [], "uid": 0}, **self._answers(sleeping), **(roots or {}).get(host, {})} for host in HOSTS
        }
        self._reasons = dict(reasons or {})
        self.fleet = FakeFleet({host: {**self._answers(sleeping), **(users or {}).get(host, {})} for host in HOSTS})
        self.run = PrepareRun(self.fleet, self._root, WISHES, {"a": "/usr/bin/python3"}, work)

    @staticmethod
    def _answers(answer: Callable[..., Any]) -> dict[str, Any]:
        return {"prepare": answer, "undo_prepare": answer}

    def _root(self, chosen: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        self.roots.append(FakeFleet({host: self._scripts[host] for host in chosen if host not in self._reasons}))
        return self.roots[-1], self._reasons

    def outcome(self) -> Outcome:
        return self.run.run(Events())


def states(outcome: Outcome) -> dict[str, list[str]]:
    return {host.host: [item.state for item in host.items] for host in outcome.hosts}


def test_look_asks_each_host_once_and_becomes_nobody() -> None:
    stage = Stage(Work())
    assert states(stage.outcome()) == {host: ["would change"] for host in HOSTS}
    assert [stage.fleet.agents[host].calls for host in HOSTS] == [
        [("prepare", {"wishes": WISHES["a"], "trial": True, "python": "/usr/bin/python3"})],
        [("prepare", {"wishes": WISHES["b"], "trial": True, "python": ""})],
        [("prepare", {"wishes": WISHES["c"], "trial": True, "python": ""})],
    ]
    assert (stage.roots, stage.run.begun) == ([], False)


def test_dry_run_becomes_nobody_either() -> None:
    stage = Stage(Work(apply=True, dry_run=True))
    assert (stage.outcome().changed, stage.roots) == (True, [])


def test_hosts_that_need_it_are_changed_as_root_and_no_others() -> None:
    stage = Stage(Work(apply=True), users={"b": {"prepare": right}})
    found = stage.outcome()
    assert states(found) == {"a": ["changed"], "b": ["right"], "c": ["changed"]}
    assert [list(fleet.agents) for fleet in stage.roots] == [["a", "c"]]
    assert stage.roots[0].agents["a"].named("prepare") == [{"wishes": WISHES["a"], "trial": False, "python": "/usr/bin/python3"}]
    assert (found.returncode, stage.run.begun) == (0, True)


def test_nothing_to_change_needs_no_root() -> None:
    stage = Stage(Work(apply=True), users={host: {"prepare": right} for host in HOSTS})
    assert (stage.outcome().message, stage.roots) == ("3 hosts: nothing to change", [])


def test_host_that_cannot_have_it_keeps_all_from_being_changed() -> None:
    refusal = mac(row("wired_limit", "failed", "4096 MB is above 2048 MB"))
    stage = Stage(Work(apply=True), users={"b": {"prepare": refusal}})
    found = stage.outcome()
    assert found.message == "b: wired limit: 4096 MB is above 2048 MB; nothing was changed"
    assert (found.returncode, found.changed, stage.roots) == (3, False, [])


@pytest.mark.parametrize("error", [lost(), HostFailed("no answer within 30 s")])
def test_host_that_cannot_be_asked_keeps_no_other_one_from_it(error: Exception) -> None:
    found = Stage(Work(apply=True), users={"b": {"prepare": error}}).outcome()
    assert states(found) == {"a": ["changed"], "b": [], "c": ["changed"]}
    assert (found.returncode, found.message) == (3, f"b: {error}")


@pytest.mark.parametrize(
    ("roots", "reasons", "text"),
    [
        (
            {"b": {"running": HostFailed("sudo: a password is required")}},
            {},
            "sudo: a password is required; or run its commands there by hand",
        ),
        ({"b": {"running": {"jobs": [], "uid": 501}}}, {}, "become gives another user than root; leave become_user out; or run its"),
        ({}, {"b": "su cannot do it"}, "su cannot do it; or run its commands there by hand"),
    ],
)
def test_host_without_root_gets_its_commands_and_the_others_are_changed(roots: Any, reasons: Any, text: str) -> None:
    found = Stage(Work(apply=True), roots=roots, reasons=reasons).outcome()
    assert states(found) == {"a": ["changed"], "b": ["by hand"], "c": ["changed"]}
    assert text in found.hosts[1].failure
    assert found.hosts[1].items[0].commands == SLEEP["commands"]
    assert found.returncode == 3


def test_no_host_with_root_is_no_change() -> None:
    stage = Stage(Work(apply=True), reasons=dict.fromkeys(HOSTS, "no"))
    assert (stage.outcome().changed, stage.run.begun) == (False, False)


def test_host_that_vanishes_meanwhile_is_told_with_the_next_step() -> None:
    found = Stage(Work(apply=True), roots={"b": {"prepare": lost()}}).outcome()
    assert states(found) == {"a": ["changed"], "b": ["not known"], "c": ["changed"]}
    assert found.hosts[1].failure == "silent for 30 s: network, host or sleep; when it is there, run this again, or --undo"


def test_linux_machine_among_macs_takes_what_applies_to_it() -> None:
    found = Stage(Work(apply=True), users={"b": {"prepare": linux(row("sleep", "not here", "it is Linux"))}}).outcome()
    assert (states(found)["b"], found.returncode) == (["not here"], 0)


def test_undo_is_another_call_and_a_failure_stops_no_other_host() -> None:
    stage = Stage(Work(undo=True), users={"b": {"undo_prepare": mac(row("sleep", "failed", "pmset: no"))}})
    assert states(stage.outcome()) == {"a": ["changed"], "b": ["failed"], "c": ["changed"]}
    assert stage.fleet.agents["a"].calls == [("undo_prepare", {"trial": True})]
    assert stage.roots[0].agents["a"].named("undo_prepare") == [{"trial": False}]


def test_stop_ends_the_hosts_of_both_rounds() -> None:
    stage = Stage(Work(apply=True))

    def interrupted(**_asked: Any) -> dict[str, Any]:
        stage.run.stop()
        raise Cancelled

    stage._scripts["b"]["prepare"] = interrupted
    with pytest.raises(Cancelled):
        stage.outcome()
    assert stage.run.begun
    assert all(agent.finished for fleet in (stage.fleet, *stage.roots) for agent in fleet.agents.values())


def test_stop_between_the_rounds_changes_nothing() -> None:
    stage = Stage(Work(apply=True))
    become_root = stage.run._rounds._root

    def interrupted(chosen: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        stage.run.stop()
        return become_root(chosen)

    stage.run._rounds._root = interrupted
    with pytest.raises(Cancelled):
        stage.outcome()
    assert not stage.run.begun
    assert not any(agent.calls for fleet in stage.roots for agent in fleet.agents.values())


def test_undo_forgets_what_is_back_already() -> None:
    """Or a later undo would go back to a setting that is no longer the one before."""
    stage = Stage(Work(undo=True), users={host: {"undo_prepare": right} for host in HOSTS})
    stage.outcome()
    assert [agent.named("undo_prepare") for agent in stage.roots[0].agents.values()] == [[{"trial": False}]] * len(HOSTS)

"""Rounds over all hosts: in order, side by side, and none outlives them."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import WireError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import Agent, HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent, host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Answers, Fleet, HostsFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.progress import ProgressThrottle
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.unit.controller.fleets import Events, FakeFleet, lost

HERE = Access(lambda command: ["/bin/sh", "-c", command], host_command([sys.executable], agent()))


def name(agent: Agent) -> str:
    return agent.host


def work(agent: Agent) -> Any:
    return agent.call("work")


def handshake(agent: Agent) -> Any:
    return agent.call("hello", lease=5.0, roots=["/nowhere"], environment=None)


def fleet_of(**work: Any) -> FakeFleet:
    """Return hosts whose agents have one function."""
    return FakeFleet({host: {"work": answer} for host, answer in work.items()})


def test_round_asks_all_hosts_or_those_named_in_order() -> None:
    with fleet_of(a=1, b=2, c=3).open(Events()) as fleet:
        assert list(fleet.ask("asking", name).results) == ["a", "b", "c"]
        assert list(fleet.ask("asking", name, ["c", "a"]).results) == ["c", "a"]
        assert fleet.ask("asking", name, []) == Answers()


def test_hosts_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    with fleet_of(**dict.fromkeys("abc", lambda: meeting.wait(60) >= 0)).open(Events()) as fleet:
        assert fleet.ask("meeting", work).results == {"a": True, "b": True, "c": True}


def test_failed_host_does_not_disturb_the_others() -> None:
    with fleet_of(a=lost(), b=2, c=WireError("nonsense")).open(Events()) as fleet:
        answers = fleet.ask("asking", work)
    assert answers.results == {"b": 2}
    assert answers.failed == {"a": "silent for 30 s: network, host or sleep", "c": "nonsense"}


def test_failures_are_in_the_order_of_hosts() -> None:
    b_failed = threading.Event()

    def fail_last() -> None:
        assert b_failed.wait(60)
        raise HostFailed("last")

    def fail_first() -> None:
        b_failed.set()
        raise HostFailed("first")

    with fleet_of(a=fail_last, b=fail_first).open(Events()) as fleet:
        assert list(fleet.ask("asking", work).failed) == ["a", "b"]


def test_all_or_raise_names_the_hosts_that_failed() -> None:
    assert Answers({"a": 1}, {}).all_or_raise() == {"a": 1}
    with pytest.raises(HostsFailed) as failure:
        Answers({"a": 1}, {"b": "off"}).all_or_raise()
    assert failure.value.problems == {"b": "off"}


def test_error_of_a_request_is_not_taken_for_a_failed_host() -> None:
    with fleet_of(a=1).open(Events()) as fleet, pytest.raises(ZeroDivisionError):
        fleet.ask("asking", lambda _agent: 1 // 0)


def test_agents_are_let_go_whatever_ends_the_round() -> None:
    fleet = fleet_of(a=1, b=2)
    with pytest.raises(RuntimeError), fleet.open(Events()):
        raise RuntimeError
    assert [agent.finished for agent in fleet.agents.values()] == [True, True]


def without_b(fleet: FakeFleet, error: Exception) -> FakeFleet:
    """Let the agent of a host not be startable."""
    started = fleet._connect

    def connect(host: str, *given: Any) -> Any:
        if host == "b":
            raise error
        return started(host, *given)

    fleet._connect = connect
    return fleet


def test_agent_that_cannot_be_started_is_the_failure_of_its_host() -> None:
    fleet = without_b(fleet_of(a=1, b=2, c=3), OSError(errno.EMFILE, "Too many open files"))
    with fleet.open(Events()) as opened:
        for round_of in (work, lambda agent: agent.run(["rsync"])):
            answers = opened.ask("asking", round_of, ["b"])
            assert answers.failed == {"b": "cannot start the connection: Too many open files"}
        assert opened.ask("asking", work).results == {"a": 1, "c": 3}
    assert [agent.finished for agent in fleet.agents.values()] == [True, True]


def test_error_while_agents_are_started_leaves_none() -> None:
    fleet = without_b(fleet_of(a=1, b=2), ZeroDivisionError())
    with pytest.raises(ZeroDivisionError), fleet.open(Events()):
        pass
    assert fleet.agents["a"].finished


def test_error_of_this_machine_fails_the_host_that_was_worked_for() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/tmp/rsh")
    with fleet_of(a=1, b=error).open(Events()) as fleet:
        answers = fleet.ask("asking", work)
    assert answers == Answers({"a": 1}, {"b": "on this machine: No space left on device: /tmp/rsh"})


def test_stop_ends_a_round_in_another_thread() -> None:
    fleet = FakeFleet({"a": {}, "b": {}})

    def stuck(agent: Agent) -> Any:
        threading.Thread(target=fleet.stop).start()
        return fleet.agents[agent.host].wait_until_closed()

    with fleet.open(Events()), pytest.raises(Cancelled):
        fleet.ask("waiting for", stuck)
    with pytest.raises(Cancelled):
        fleet.subprocesses.start(["true"])


def test_fleet_that_was_stopped_before_asks_nobody() -> None:
    fleet = fleet_of(a=1)
    fleet.stop()
    with fleet.open(Events()), pytest.raises(Cancelled):
        fleet.ask("asking", work)


def test_error_meanwhile_ends_the_wait_for_hosts() -> None:
    def fail() -> None:
        raise ValueError("here")

    fleet = FakeFleet({"a": {}})
    with fleet.open(Events()), pytest.raises(ValueError, match="here"):
        fleet.ask("asking", lambda agent: fleet.agents[agent.host].wait_until_closed(), meanwhile=fail)


def test_work_meanwhile_is_done_while_hosts_answer() -> None:
    done = threading.Event()
    with fleet_of(a=lambda: done.wait(60)).open(Events()) as fleet:
        assert fleet.ask("asking", work, meanwhile=done.set).results == {"a": True}


# -- progress


def progress_of(fleet: FakeFleet, text: Any, release: threading.Event) -> dict[str, Any]:
    """Return the first report about a round whose last host is done only after it."""
    events = Events()

    def emit(kind: str, host: str | None = None, **details: Any) -> None:
        events(kind, host, **details)
        release.set()

    with fleet.open(emit):
        fleet.ask(text, work, throttle=ProgressThrottle(emit, patience=0.0))
    return events.of("waiting")[0][1]


def test_report_names_the_hosts_that_are_not_done() -> None:
    release = threading.Event()
    fleet = fleet_of(a=1, b=lambda: release.wait(60))
    assert progress_of(fleet, "looking at", release) == {"text": "looking at b", "hosts": ["b"]}


def test_report_has_the_latest_news_of_a_host() -> None:
    release = threading.Event()
    fleet = FakeFleet({host: {"work": lambda: release.wait(60)} for host in "abcdef"})

    def request(agent: Agent) -> Any:
        if agent.host == "b":
            fleet.agents["b"].report("installing mlx")
        return agent.call("work")

    events = Events()

    def emit(*given: Any, **details: Any) -> None:
        events(*given, **details)
        release.set()

    with fleet.open(emit):
        fleet.ask("making it on", request, throttle=ProgressThrottle(emit, patience=0.0))
    assert events.of("waiting")[0][1]["text"] == "making it on a, b, c, d and 2 more: installing mlx"


def test_report_may_have_a_text_of_its_own() -> None:
    release = threading.Event()
    fleet = fleet_of(a=1, b=lambda: release.wait(60))

    def text(pending: Sequence[str], _news: Any) -> str:
        return f"{len(pending)} to go"

    assert progress_of(fleet, text, release)["text"] == "1 to go"


# -- with real agents, over a local shell in place of ssh


def test_agents_of_a_round_answer_over_their_connections(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def state(agent: Agent) -> Any:
        root = tmp_path / "file" if agent.host == "a" else tmp_path
        return agent.call("wheels_folder", root=str(root), wheelhouse="x")

    with Fleet({"a": HERE, "b": HERE}, JobSettings()).open(Events()) as fleet:
        answers = fleet.ask("asking", state)
        assert answers.results == {"b": str(tmp_path / "wheels/x")}
        assert str(tmp_path / "file") in answers.failed["a"]
        facts = fleet.ask("asking", handshake).all_or_raise()
        assert {found["system"] for found in facts.values()} == {os.uname().sysname}


def test_host_that_answers_pings_may_exceed_the_lease() -> None:
    with Fleet({"a": HERE}, JobSettings(lease=2)).open(Events()) as fleet:
        fleet.ask("asking", handshake)
        answers = fleet.ask("running", lambda agent: agent.run(["sh", "-c", "sleep 2.5; echo done"]))
    assert answers.results == {"a": (0, "done\n")}

"""A job whose ranks mpirun starts, as histories: (seconds, event), and then the consequences; and mpirun alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import UnexpectedEvent
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpi_job import CHANNEL, MpiJob
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpirun import MpirunMachine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import FINISHED, RUNNING, STOPPING, Action, Policy, Send
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.mpi import labels
from tests.unit.jobs import (
    LIMITS,
    Event,
    done,
    exited,
    heard,
    ranks_on,
    ready,
    refused,
    replay,
    replay_all,
    reports,
    started,
    stop,
    texts,
    tick,
)

MPIRUN = "/usr/bin/mpirun"
DAEMON = ["A=b;", "/usr/bin/orted", "--daemonize", "x"]


def mpi_job(*hosts: str, args: Sequence[str] = ()) -> MpiJob:
    """Return a job with one rank per name."""
    table = ranks_on(*(hosts or ("a", "b")))
    return MpiJob("job-1", table, labels(table, {host: host for host in table.hosts}, CHANNEL), [MPIRUN], args)


def job(*hosts: str, args: Sequence[str] = (), **limits: float) -> Policy:
    """Return the policy of a job that begins at 0, with one rank per name."""
    planned, times = mpi_job(*hosts, args=args), replace(LIMITS, **limits)
    return Policy(planned.table, times, 0.0, decide=planned.decide, mpirun=MpirunMachine(planned, times))


def has(host: str, version: str = "4.1.4") -> Event:
    """A host is ready and has an mpirun."""
    return ready(host, hostname=host, uid=501, mpirun={MPIRUN: {"version": version, "libmpi": "/usr/lib/libmpi.so.40"}})


def going(*hosts: str, **limits: float) -> Policy:
    """Return the policy of a job whose hosts got their go at 0."""
    policy = job(*hosts, **limits)
    replay(policy, *((0.0, has(host)) for host in policy.hosts), (0.0, tick()))
    assert policy.phase == RUNNING
    return policy


def mpi(event: str, *arguments: Any, late: bool = True) -> Event:
    """Return an event that only a job under mpirun knows."""
    return lambda policy, now: getattr(policy, event)(*arguments, *([now] if late else []))


def exited_service(host: str, code: int = 0, *, name: str = "mpirun", signal: int = 0, error: str = "") -> Event:
    return mpi("on_exited_service", host, {"name": name, "code": code, "signal": signal, "error": error})


def said(host: str, text: str, name: str = "mpirun") -> Event:
    return mpi("on_said", host, name, text, late=False)


def wanted(host: str, on: str, *words: str) -> Event:
    return mpi("on_wanted", host, {"id": 7, "host": on, "words": list(words)}, late=False)


def told(actions: list[Action], kind: int) -> dict[str, Any]:
    """Return what hosts are told by frames of one kind."""
    return {action.host: action.message for action in actions if isinstance(action, Send) and action.kind == kind}


def causes(actions: list[Action]) -> list[str]:
    """Return why the job is ended."""
    return [report.details["cause"] for report in reports(actions, "job_stopping")]


# -- the barrier


def test_decision_arrives_with_the_go() -> None:
    actions = replay_all(job(), (1, has("a")), (2, has("b")))
    go = told(actions, wire.GO)
    assert go["b"] == {"libmpi": "/usr/lib/libmpi.so.40"}
    assert go["a"]["libmpi"] == "/usr/lib/libmpi.so.40"
    assert go["a"]["mpirun"][0] == MPIRUN


def test_problem_in_the_facts_is_a_refusal_and_nobody_goes() -> None:
    policy = job()
    actions = replay_all(policy, (1, has("a")), (2, has("b", "4.1.5")))
    assert told(actions, wire.GO) == {}
    assert sorted(told(actions, wire.BYE)) == ["a", "b"]
    assert (policy.phase, policy.returncode, list(policy.problems)) == (FINISHED, 3, ["b"])
    assert [(report.host, report.details["problems"]) for report in reports(actions, "host_refused")] == [("b", policy.problems["b"])]
    assert policy.cause
    assert policy.cause.message == "1 of 2 hosts not ready: b; no rank was started anywhere"


def test_nothing_is_decided_when_a_host_has_refused() -> None:
    policy = job()
    replay(policy, (1, has("a")), (2, refused("b", "no python")))
    assert policy.problems == {"b": ["no python"]}


def test_go_of_a_plain_job_carries_the_decision_or_nothing() -> None:
    plain = Policy(ranks_on("a", "b"), LIMITS, 0.0)
    assert told(replay_all(plain, (1, ready("a")), (1, ready("b"))), wire.GO) == {"a": None, "b": None}
    seen = []

    def decide(facts: Any) -> Decision:
        seen.append(facts)
        return Decision(go={"b": {"port": 1}})

    other = Policy(ranks_on("a", "b"), LIMITS, 0.0, decide=decide)
    assert told(replay_all(other, (1, ready("a", cwd="/")), (1, ready("b", cwd="/"))), wire.GO) == {"a": None, "b": {"port": 1}}
    assert seen == [{"a": {"cwd": "/"}, "b": {"cwd": "/"}}]


def test_arguments_of_the_planned_job_are_in_the_go() -> None:
    policy = job(args=["--tag", "2"])
    assert "--tag" in told(replay_all(policy, (1, has("a")), (2, has("b"))), wire.GO)["a"]["mpirun"]


# -- its daemons


def test_daemon_is_started_by_the_host_it_is_requested_on() -> None:
    actions = replay(going(), (1, wanted("a", "10.0.0.2", *DAEMON)))
    assert told(actions, wire.DAEMON) == {"b": {"argv": ["/usr/bin/orted", "x"], "env": {}}}
    assert told(actions, wire.ANSWER) == {"a": {"id": 7, "code": 0}}


def test_request_for_a_host_of_nobody_is_reported_and_refused() -> None:
    actions = replay(going(), (1, wanted("a", "10.0.0.9", *DAEMON)))
    assert told(actions, wire.DAEMON) == {}
    assert told(actions, wire.ANSWER) == {"a": {"id": 7, "code": 1}}
    assert len(texts(actions, "warning")) == 1


@pytest.mark.parametrize(
    ("asks", "words", "reason"),
    [
        ("b", DAEMON, "b: asks for a daemon of mpirun, which runs on a"),
        ("a", ["/bin/rm", "-rf", "/"], "a: mpirun wants '/bin/rm' run on b, which is not its daemon"),
        ("a", ["/tmp/orted"], "a: mpirun wants '/tmp/orted' run on b, which is not its daemon"),
    ],
)
def test_host_that_asks_for_anything_else_breaks_the_protocol(asks: str, words: list[str], reason: str) -> None:
    policy = going()
    with pytest.raises(wire.WireError) as failure:
        replay(policy, (1, wanted(asks, "10.0.0.2", *words)))
    assert str(failure.value) == reason
    assert told(policy.take(), wire.DAEMON) == {}


def test_host_gets_one_daemon() -> None:
    policy = going()
    replay(policy, (1, wanted("a", "10.0.0.2", *DAEMON)))
    with pytest.raises(wire.WireError, match="a second daemon of mpirun on b"):
        replay(policy, (2, wanted("a", "10.0.0.2", *DAEMON)))


def test_no_daemon_is_started_once_the_job_is_being_ended() -> None:
    """The host may have confirmed already that nothing runs there, and nobody would end it."""
    actions = replay(going(), (1, stop()), (1, done("b")), (1.1, wanted("a", "10.0.0.2", *DAEMON)))
    assert told(actions, wire.DAEMON) == {}
    assert told(actions, wire.ANSWER) == {"a": {"id": 7, "code": 1}}


# -- its end


def test_mpirun_that_fails_early_ends_the_job_with_its_output() -> None:
    policy = going()
    actions = replay_all(policy, (1, said("a", "--------\nno such option: --x\n\n")), (1, exited_service("a", 213)), (1.4, tick()))
    assert policy.phase == RUNNING
    actions = replay_all(policy, (1.5, tick()))
    assert causes(actions) == ["mpirun_failed"]
    assert sorted(told(actions, wire.STOP)) == ["a", "b"]
    assert policy.returncode == 3
    assert policy.cause
    assert policy.cause.message == "mpirun on a ended with status 213 while ranks were to run; it said: no such option: --x"


def test_last_lines_of_output_are_shown() -> None:
    policy = going()
    text = "".join(f"line {at}\n" for at in range(1000))
    replay(policy, (1, said("a", text)), (1, exited_service("a", 1)), (2, tick()))
    assert policy.cause
    assert policy.cause.message.endswith("; it said: " + " / ".join(f"line {at}" for at in range(994, 1000)))


@pytest.mark.parametrize(
    ("how", "message", "returncode"),
    [
        ({"code": 1}, "the daemon of mpirun on b ended with status 1", 1),
        ({"signal": 9}, "the daemon of mpirun on b was killed by SIGKILL", 137),
    ],
)
def test_daemon_that_fails_while_ranks_run_ends_the_job(how: dict[str, int], message: str, returncode: int) -> None:
    policy = going()
    replay(policy, (1, started(0)), (1, started(1)), (2, exited_service("b", name="its daemon", **how)), (2.5, tick()))
    assert policy.cause
    assert policy.cause.message.startswith(message)
    assert (policy.phase, policy.returncode) == (STOPPING, returncode)


def test_daemon_that_cannot_be_started_says_why() -> None:
    policy = going()
    replay(policy, (1, exited_service("b", 127, name="its daemon", error="cannot start /e/bin/prted: No such file")), (1, tick()))
    assert policy.cause
    assert policy.cause.message == "the daemon of mpirun on b: cannot start /e/bin/prted: No such file"
    assert policy.returncode == 3


def test_error_of_mpirun_is_to_blame_before_ranks_it_breaks() -> None:
    policy = going()
    history = [(1, started(0)), (1, exited_service("a", 1, error="wants rank 1 here")), (1, tick()), (1.1, exited(0, signal=11))]
    replay(policy, *history)
    assert policy.cause
    assert policy.cause.message == "mpirun on a: wants rank 1 here"
    assert policy.returncode == 3


def test_success_of_a_daemon_does_not_end_the_job() -> None:
    policy = going()
    actions = replay_all(policy, (1, started(0)), (1, started(1)), (2, exited_service("b", name="its daemon")), (29, tick()))
    assert policy.phase == RUNNING
    assert causes(actions) == []


def test_first_end_counts() -> None:
    policy = going()
    replay(policy, (1, exited_service("b", 1, name="its daemon")), (1.2, exited_service("a", 2)), (1.5, tick()))
    assert policy.cause
    assert policy.cause.message.startswith("the daemon of mpirun on b ended with status 1")


@pytest.mark.parametrize("news", [1.2, 4.0], ids=["before the job is ended", "after"])
def test_failure_of_a_rank_wins_over_earlier_news_of_mpirun(news: float) -> None:
    policy = going()
    history = [(0.5, started(0)), (0.5, started(1)), (1, exited_service("a", 1)), (1.1, tick())]
    actions = replay_all(policy, *history, *([(1.6, tick())] if news > 2 else []), (news, exited(1, 7)))
    assert causes(actions) == ["mpirun_failed" if news > 2 else "rank_failed"]
    assert policy.cause
    assert policy.cause.message == "rank 1 on b exited with code 7 after 1.0 s"
    assert policy.returncode == 7


def test_rank_that_was_stopped_because_of_mpirun_is_no_failure() -> None:
    policy = going()
    history = [(0.5, started(0)), (0.5, started(1)), (1, exited_service("a", signal=9)), (1.5, tick())]
    replay(
        policy, *history, (2, exited(0, signal=15, stopped=True)), (2, exited(1, signal=15, stopped=True)), (3, done("a")), (3, done("b"))
    )
    assert (policy.phase, policy.returncode) == (FINISHED, 137)


def test_success_of_mpirun_waits_for_late_news_of_ranks() -> None:
    """What a rank has printed goes before the news of its end, and the way may be slow."""
    policy = going(lease=1000)
    history = [(0.5, started(0)), (0.5, started(1)), (1, exited(0)), (1, exited_service("a"))]
    actions = replay_all(policy, *history, (500, tick()))
    assert causes(actions) == []
    replay(policy, (501, exited(1)), (502, done("a")), (502, done("b")))
    assert (policy.phase, policy.returncode) == (FINISHED, 0)


def test_success_of_mpirun_without_ranks_ends_the_job() -> None:
    policy = going()
    actions = replay_all(policy, (0.5, started(0)), (1, said("a", "mpirun (Open MPI) 4.1.4\n")), (1, exited_service("a")), (5.9, tick()))
    assert causes(actions) == []
    actions = replay_all(policy, (6, tick()))
    assert causes(actions) == ["mpirun_failed"]
    assert policy.returncode == 3
    assert policy.cause
    assert policy.cause.message == "mpirun on a ended with status 0 while ranks were to run; it said: mpirun (Open MPI) 4.1.4"


def test_news_of_a_start_may_come_after_the_end_of_mpirun() -> None:
    policy = going()
    history = [(0.5, started(0)), (1, exited(0)), (1, exited_service("a")), (1.6, tick()), (2, started(1)), (2, exited(1)), (20, tick())]
    assert causes(replay_all(policy, *history)) == []
    assert policy.phase == RUNNING


def test_every_host_is_asked_to_stop_mpirun_after_the_ranks() -> None:
    policy = going(grace=4)
    actions = replay(policy, (0.5, started(0)), (0.5, started(1)), (1, exited(0)), (2, exited(1)))
    assert told(actions, wire.STOP) == {"a": {"grace": 4}, "b": {"grace": 4}}
    actions = replay_all(
        policy, (2.1, exited_service("a")), (2.1, exited_service("b", 1, name="its daemon")), (3, tick()), (3, done("a")), (3, done("b"))
    )
    assert causes(actions) == []
    assert (policy.phase, policy.returncode) == (FINISHED, 0)


def test_no_host_is_asked_to_stop_while_a_rank_runs() -> None:
    assert told(replay_all(going(), (0.5, started(0)), (0.5, started(1)), (1, exited(0))), wire.STOP) == {}


def test_end_of_mpirun_while_stopping_changes_nothing() -> None:
    policy = going()
    actions = replay_all(policy, (1, stop(130)), (1.1, exited_service("a", 1)), (3, tick()))
    assert causes(actions) == ["interrupted"]
    assert policy.returncode == 130


# -- ranks that do not start


def test_ranks_that_have_not_started_in_time_end_the_job() -> None:
    policy = going("a", "b", "c", connect=20, lease=100)
    replay(policy, (1, started(0)), (19.9, tick()))
    assert policy.phase == RUNNING
    assert policy.deadline() == 20
    replay(policy, (20, tick()))
    assert policy.cause
    assert policy.cause.kind == "not_started"
    assert policy.cause.message.startswith("mpirun has not started rank 1, 2 on b, c within 20 s; its daemons connect to a on any address")
    assert policy.returncode == 3


def test_rank_that_has_started_or_could_not_be_is_not_waited_for() -> None:
    policy = going(lease=100)
    replay(policy, (1, started(0)), (1, started(1)), (31, tick()))
    assert policy.phase == RUNNING
    policy = going()
    replay(policy, (1, exited(1, 127, error="cannot start python")))
    assert policy.returncode == 127


# -- what it says


NOISE = "[node1:00071] plm:rsh: Warning: setpgid(77,77) failed in parent with errno=Permission denied(13)\n"


def test_output_of_mpirun_is_reported_without_noise() -> None:
    actions = replay(going(), (1, said("a", f"one\n{NOISE}two\n")))
    assert [(report.host, dict(report.details)) for report in reports(actions, "mpirun_said")] == [
        ("a", {"name": "mpirun", "text": "one\ntwo\n"})
    ]


@pytest.mark.parametrize("text", [NOISE, NOISE.rstrip("\n"), NOISE * 3, "\n \n"])
def test_noise_alone_is_nothing(text: str) -> None:
    assert reports(replay(going(), (1, said("a", text)))) == []


def test_consequences_of_the_end_are_not_told() -> None:
    assert texts(replay(going(), (1, stop()), (1.1, said("a", "a process was killed\n"))), "mpirun_said") == []


# -- as for any gang


def test_host_that_is_lost_ends_the_job() -> None:
    policy = going(lease=3)
    replay(policy, (1, started(0)), (1, started(1)), (2.9, heard("b")), (3, tick()))
    assert policy.cause
    assert policy.cause.message.startswith("a: silent for 3 s")
    assert policy.returncode == 3


def test_follower_is_not_to_blame_even_if_its_news_comes_first() -> None:
    policy = going("a", "b", "c")
    replay(policy, (0.1, started(0)), (0.1, started(1)), (0.1, started(2)), (1.0, exited(2, 14, at=1.0)), (1.01, tick()))
    assert policy.phase == RUNNING
    replay(policy, (1.02, exited(1, 7, at=1.01)))
    assert (policy.phase, policy.returncode) == (STOPPING, 7)
    assert policy.first_failure
    assert policy.first_failure.rank == 1


def test_follower_is_to_blame_when_nobody_else_failed() -> None:
    policy = going("a", "b")
    replay(policy, (0.1, started(0)), (0.1, started(1)), (1.0, exited(1, 14, at=1.0)))
    assert policy.deadline() <= 1.6
    replay(policy, (1.6, tick()))
    assert (policy.phase, policy.returncode) == (STOPPING, 14)


# -- mpirun alone


def machine(*hosts: str) -> MpirunMachine:
    """Return mpirun of a job that runs since 0."""
    made = MpirunMachine(mpi_job(*hosts), LIMITS)
    assert made.due(0.0, None) is None
    return made


def failure(rank: int, code: int, at: float = 1.0) -> RankEnd:
    return RankEnd(rank, "a", code, 0, at, stopped=False)


SUCCESS = {"name": "mpirun", "code": 0, "signal": 0, "error": ""}


def test_first_call_is_wanted_at_once() -> None:
    assert MpirunMachine(mpi_job(), LIMITS).deadline == 0


def test_machine_waits_for_ranks_to_start_and_then_for_nothing() -> None:
    found = machine()
    assert found.deadline == LIMITS.connect
    found.on_rank(0)
    found.on_rank(1)
    assert found.deadline == float("inf")
    assert found.due(1000.0, None) is None


@pytest.mark.parametrize(
    ("how", "at", "kind", "returncode"),
    [
        (SUCCESS, 6.0, "mpirun_failed", 3),
        ({**SUCCESS, "code": 5}, 1.5, "mpirun_failed", 3),
        ({**SUCCESS, "name": "its daemon", "signal": 9}, 1.5, "mpirun_failed", 3),
        ({**SUCCESS, "code": 1, "error": "wants rank 9 here"}, 1.0, "mpirun_unusable", 3),
    ],
    ids=["success", "status", "daemon killed", "error"],
)
def test_end_of_mpirun_is_the_cause_in_time(how: dict[str, Any], at: float, kind: str, returncode: int) -> None:
    found = machine()
    found.exited("a", how, 1.0)
    assert found.deadline == at
    assert found.due(at - 0.125, None) is None
    cause = found.due(at, None)
    assert cause
    assert (cause.kind, cause.returncode) == (kind, returncode)


def test_success_of_a_daemon_is_no_news() -> None:
    found = machine()
    found.exited("b", {**SUCCESS, "name": "its daemon"}, 1.0)
    assert found.deadline == LIMITS.connect


def test_success_is_forgotten_once_all_ranks_have_started() -> None:
    found = machine("a")
    found.exited("a", SUCCESS, 1.0)
    found.on_rank(0)
    assert found.due(100.0, None) is None


@pytest.mark.parametrize(
    ("failures", "first"),
    [([], None), ([(0, 14), (1, 7)], 1), ([(0, 14), (1, 14)], 0), ([(0, 7), (1, 14)], 0)],
    ids=["none", "not the follower", "only followers", "first"],
)
def test_followers_are_blamed_last(failures: list[tuple[int, int]], first: int | None) -> None:
    found = machine().blame(failure(rank, code) for rank, code in failures)
    assert (found.rank if found else None) == first


def test_follower_is_doubted_for_a_moment() -> None:
    found = machine("a")
    found.on_rank(0)
    assert not found.doubts(failure(0, 7), 1.0)
    assert found.doubts(failure(0, 14), 1.0)
    assert found.deadline == 1.5
    cause = found.due(1.5, failure(0, 14))
    assert cause
    assert (cause.kind, cause.returncode) == ("rank_failed", 14)


def test_event_of_mpirun_in_a_plain_job_is_an_error() -> None:
    plain = Policy(ranks_on("a"), LIMITS, 0.0)
    for event in (said("a", "x"), wanted("a", "b", *DAEMON), exited_service("a")):
        with pytest.raises(UnexpectedEvent, match="^a: an event of mpirun does not fit a job that it does not run$"):
            event(plain, 1.0)

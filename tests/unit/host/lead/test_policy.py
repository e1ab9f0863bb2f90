"""The rules of a job, as histories: (seconds, event), and then the consequences."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import UnexpectedEvent
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import FINISHED, OPENING, RUNNING, STOPPING, Miss, Send
from tests.unit.jobs import (
    Event,
    closed,
    done,
    exited,
    heard,
    job,
    orders,
    ready,
    refused,
    replay,
    replay_all,
    reports,
    running,
    started,
    stop,
    texts,
    tick,
)

History = list[tuple[float, Event]]

# -- the barrier


@dataclass(frozen=True)
class Barrier:
    """What hosts a and b say, and what is done about it."""

    history: History
    orders: list[str]
    phase: str = FINISHED
    returncode: int = 3
    problems: dict[str, list[str]] = field(default_factory=dict)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Barrier([(1, ready("a"))], [], OPENING, 1), id="one ready: wait"),
        pytest.param(Barrier([(1, ready("b")), (2, ready("a"))], ["go a", "go b"], RUNNING, 1), id="all ready: go"),
        pytest.param(Barrier([(1, ready("a")), (1, ready("a")), (1, ready("a"))], [], OPENING, 1), id="one ready, often: wait"),
        pytest.param(Barrier([(1, refused("a", "no python"))], [], OPENING, 1, {"a": ["no python"]}), id="one refused: hear the others"),
        pytest.param(
            Barrier([(1, ready("a")), (2, refused("b", "x", "y"))], ["bye a", "bye b"], problems={"b": ["x", "y"]}),
            id="refused: let all go",
        ),
        pytest.param(Barrier([(1, refused("b", "x")), (2, ready("a"))], ["bye a", "bye b"], problems={"b": ["x"]}), id="refused first"),
        pytest.param(
            Barrier([(1, refused("a", "x")), (2, refused("b", "y"))], ["bye a", "bye b"], problems={"a": ["x"], "b": ["y"]}),
            id="both refused",
        ),
        pytest.param(
            Barrier([(1, closed("a", "Permission denied")), (2, ready("b"))], ["bye a", "bye b"], problems={"a": ["Permission denied"]}),
            id="closed while opening",
        ),
        pytest.param(
            Barrier([(1, ready("a")), (2, closed("a", "reset")), (3, ready("b"))], ["bye a", "bye b"], problems={"a": ["reset"]}),
            id="closed when ready",
        ),
        pytest.param(
            Barrier(
                [(1, ready("a")), (29.9, tick()), (30, tick())],
                ["ping a", "close b", "bye a", "bye b"],
                problems={"b": ["no answer within 30 s"]},
            ),
            id="no answer in time",
        ),
        pytest.param(
            Barrier(
                [(1, ready("a")), (1, ready("b")), (2, refused("b", "late"))],
                ["go a", "go b"],
                RUNNING,
                1,
            ),
            id="refused after the go: too late to count",
        ),
    ],
)
def test_no_rank_starts_anywhere_unless_every_host_is_ready(case: Barrier) -> None:
    policy = job("a", "b")
    assert orders(replay_all(policy, *case.history)) == case.orders
    assert (policy.phase, policy.returncode, policy.problems) == (case.phase, case.returncode, case.problems)
    assert policy.went is ("go a" in case.orders)


def test_ready_host_that_is_silent_for_the_lease_is_not_ready() -> None:
    policy = job("a", "b", connect=100)
    actions = replay(policy, (1, ready("a")), (31, tick()))
    assert policy.problems == {"a": ["ready, then silent for 30 s"]}
    assert policy.phase == OPENING
    assert [report.event for report in reports(actions)] == ["host_refused", "waiting"]


def test_not_ready_names_the_hosts_and_says_that_nothing_runs() -> None:
    policy = job("a", "b", "c")
    replay(policy, (1, refused("c", "x")), (1, ready("b")), (1, refused("a", "y")))
    assert policy.cause == Cause("not_ready", 3, "2 of 3 hosts not ready: a, c; no rank was started anywhere")


def test_ready_and_refused_are_reported_with_what_the_host_says() -> None:
    actions = replay_all(job("a", "b"), (1, ready("a", cwd="/here", pid=7)), (2, refused("b", "x")))
    found = [(report.event, report.host, dict(report.details)) for report in reports(actions)]
    assert found == [("host_ready", "a", {"cwd": "/here", "pid": 7, "environment": []}), ("host_refused", "b", {"problems": ["x"]})]


def test_difference_between_hosts_is_told_before_the_go() -> None:
    history = [(1.0, ready("a", cwd="/x", environment={"MLX_A": "1", "MLX_B": "1"})), (2.0, ready("b", cwd="/x", environment={}))]
    actions = replay(job("a", "b", declared=["MLX_B"]), *history)
    assert [text.partition(" differs")[0] for text in texts(actions, "warning")] == ["MLX_A"]
    assert orders(actions) == ["go a", "go b"]


# -- how a job ends


@dataclass(frozen=True)
class End:
    """How a job on a (ranks 0, 1) and b (rank 2), running since 0, ends."""

    history: History
    returncode: int
    cause: str | None = None
    first_failure: int | None = None
    phase: str = FINISHED


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(End([(1, exited(0)), (1, exited(1)), (1, done("a")), (2, exited(2)), (2, done("b"))], 0), id="all return 0"),
        pytest.param(End([(1, exited(0)), (1, exited(1)), (1, done("a"))], 1, phase=RUNNING), id="one host done: the job goes on"),
        pytest.param(End([(1, exited(1, 7))], 7, "rank_failed", 1, STOPPING), id="first failing rank sets the exit status"),
        pytest.param(
            End([(1, exited(1, 7, at=1.0)), (2, exited(2, 9, at=2.0))], 7, "rank_failed", 1, STOPPING), id="second failure is not the cause"
        ),
        pytest.param(
            End([(1, exited(1, 7, at=1.0)), (2, exited(2, signal=signal.SIGSEGV, at=0.5))], 139, "rank_failed", 2, STOPPING),
            id="root cause by duration though its news came second",
        ),
        pytest.param(
            End([(1, exited(1, 7, at=1.0)), (2, exited(2, 14, at=0.95))], 7, "rank_failed", 1, STOPPING),
            id="of two at the same time that whose news came first",
        ),
        pytest.param(End([(1, exited(0, signal=signal.SIGKILL))], 137, "rank_failed", 0, STOPPING), id="signal is 128 + n"),
        pytest.param(End([(1, exited(2, 127, error="cannot start x: No such file"))], 127, "rank_failed", 2, STOPPING), id="cannot start"),
        pytest.param(
            End(
                [
                    (5, exited(1, 7, at=5.0)),
                    (5, exited(0, signal=signal.SIGTERM, at=5.1, stopped=True)),
                    (5, done("a")),
                    # By its host's clock it ended before the failure; but it was stopped, so it is no cause.
                    (6, exited(2, signal=signal.SIGKILL, at=4.0, stopped=True)),
                    (6, done("b")),
                ],
                7,
                "rank_failed",
                1,
            ),
            id="ranks stopped by us do not count",
        ),
        pytest.param(End([(1, exited(1, 7)), (2, exited(1, 0))], 7, "rank_failed", 1, STOPPING), id="a rank ends once"),
        pytest.param(End([(3, stop(130))], 130, "interrupted", None, STOPPING), id="interrupted"),
        pytest.param(
            End(
                [(3, stop(143)), (4, exited(0, 9, at=4.0, stopped=True)), (4, exited(1, 0, stopped=True)), (4, done("a")), (4, done("b"))],
                143,
                "interrupted",
            ),
            id="terminated, and ranks that fail because of it",
        ),
        pytest.param(End([(1, exited(1, 7)), (2, stop(130))], 7, "rank_failed", 1, STOPPING), id="interrupted while stopping: cause stays"),
        pytest.param(End([(3, stop(130)), (4, exited(0, 9, at=2.9))], 130, "interrupted", 0, STOPPING), id="failure after the interrupt"),
        pytest.param(End([(3, closed("b"))], 3, "host_lost", None, STOPPING), id="host lost"),
        pytest.param(End([(1, exited(0, 7)), (3, closed("b"))], 7, "rank_failed", 0, STOPPING), id="host lost after a failure"),
        pytest.param(End([(1, done("a")), (1, done("b"))], 1), id="hosts done without their ranks' ends: never 0"),
    ],
)
def test_job_ends_with_the_status_of_its_cause(case: End) -> None:
    policy = running("a", "a", "b")
    replay(policy, *case.history)
    failure = policy.first_failure
    found = (policy.returncode, policy.cause.kind if policy.cause else None, failure.rank if failure else None, policy.phase)
    assert found == (case.returncode, case.cause, case.first_failure, case.phase)


@pytest.mark.parametrize("event", [exited(0, 7), stop(), closed("a")], ids=["rank fails", "interrupted", "host lost"])
def test_every_host_is_told_to_stop_with_the_grace(event: Event) -> None:
    policy = running("a", "b", "c", grace=4)
    told = {action.host: action.message for action in replay(policy, (1, event)) if isinstance(action, Send)}
    assert told == {host: {"grace": 4} for host, state in policy.hosts.items() if state.state == "running"}
    assert {"b", "c"} <= set(told)


def test_host_that_is_done_is_told_nothing_more() -> None:
    policy = running("a", "b")
    assert orders(replay(policy, (1, exited(0)), (1, done("a")))) == ["bye a"]
    assert orders(replay(policy, (2, exited(1, 7)))) == ["stop b"]


def test_end_of_a_rank_is_reported_as_a_person_wants_it() -> None:
    report = reports(replay(running("a"), (1, exited(0, signal=signal.SIGKILL, at=1.23456))), "rank_exited")[0]
    assert (report.host, report.rank) == ("a", 0)
    assert dict(report.details) == {"returncode": 137, "signal": "SIGKILL", "duration": 1.235, "stopped": False, "error": ""}


def test_start_of_a_rank_is_reported_with_its_host() -> None:
    report = reports(replay(running("a", "b"), (1, started(1, 99))))[0]
    assert (report.event, report.host, report.rank, dict(report.details)) == ("rank_started", "b", 1, {"pid": 99})


def test_second_start_of_a_rank_breaks_the_protocol() -> None:
    policy = running("a", "b")
    replay(policy, (1, started(0, 98)), (1, started(1, 99)))
    with pytest.raises(UnexpectedEvent, match=r"^b: reports a second start of rank 1$"):
        policy.on_started(1, 100)
    assert policy.take() == []


def test_stop_is_reported_once_with_its_cause() -> None:
    actions = replay_all(running("a", "b"), (1, exited(0, 7, at=1.0)), (2, exited(1, 9, at=2.0)), (3, stop()))
    found = [dict(report.details) for report in reports(actions, "job_stopping")]
    assert found == [{"cause": "rank_failed", "text": "rank 0 on a exited with code 7 after 1.0 s"}]


def test_message_names_the_root_cause_in_any_order_of_news() -> None:
    policy = running("a", "b")
    replay(policy, (1, exited(0, 7, at=1.0)), (2, exited(1, signal=signal.SIGSEGV, at=0.5)))
    assert policy.cause
    assert policy.cause.message == "rank 1 on b was killed by SIGSEGV after 0.5 s"


@pytest.mark.parametrize(
    "how", [exited(0, signal=signal.SIGTERM, stopped=True), exited(0, 0, stopped=True)], ids=["by TERM", "with code 0"]
)
def test_host_that_ends_its_ranks_unasked_fails_the_job(how: Event) -> None:
    policy = running("a", "b")
    replay(policy, (1, how), (1, done("a")), (2, exited(1, 0)), (2, done("b")))
    assert policy.returncode != 0


def test_processes_that_could_not_be_ended_are_named() -> None:
    policy = running("a")
    actions = replay(policy, (1, exited(0)), (2, done("a", {"71": "python3", "72": "tail"})))
    assert texts(actions, "warning") == ["processes of this job could not be ended: python3 (71), tail (72)"]
    assert (policy.phase, policy.returncode) == (FINISHED, 0)


# -- stop


def test_stop_while_opening_starts_nothing() -> None:
    policy = job("a", "b")
    assert orders(replay(policy, (1, ready("a")), (2, stop(130)))) == ["bye a", "close b"]
    assert (policy.phase, policy.returncode) == (FINISHED, 130)
    assert orders(replay(policy, (3, ready("b")), (4, tick()), (5, closed("b")))) == []


def test_stop_with_kill_gives_no_grace() -> None:
    assert orders(replay(running("a", "b"), (1, stop(kill=True)))) == ["kill a", "kill b"]


def test_second_stop_with_kill_kills_at_once() -> None:
    policy = running("a", "b")
    assert orders(replay_all(policy, (1, stop()), (2, stop(kill=True)))) == ["stop a", "stop b", "kill a", "kill b"]
    assert orders(replay_all(policy, (3, stop(kill=True)))) == []


def test_second_stop_without_kill_does_not_shorten_the_grace() -> None:
    policy = running("a", "b")
    replay(policy, (1, stop(130)))
    deadline = policy.hosts["a"].deadline
    assert orders(replay(policy, (2, stop(143)))) == []
    assert (policy.hosts["a"].deadline, policy.returncode) == (deadline, 130)


def test_failure_after_a_stop_with_kill_stays_a_kill() -> None:
    policy = running("a", "b")
    assert orders(replay_all(policy, (1, exited(0, 7)), (2, stop(kill=True)))) == ["stop a", "stop b", "kill a", "kill b"]
    assert policy.returncode == 7


def test_stop_after_the_end_changes_nothing() -> None:
    policy = running("a")
    assert orders(replay(policy, (1, exited(0)), (1, done("a")), (2, stop(kill=True)))) == []
    assert (policy.phase, policy.returncode) == (FINISHED, 0)


# -- silence, and what comes after it


def test_silent_host_is_tried_again_and_the_others_are_stopped() -> None:
    policy = running("a", "b")
    actions = replay(policy, (20, heard("a")), (30, tick()))
    assert [order for order in orders(actions) if "ping" not in order] == ["stop a", "close b", "recover b"]
    assert texts(actions, "host_lost") == ["silent for 30 s: network, host or sleep"]
    assert (policy.phase, policy.returncode) == (STOPPING, 3)


def test_anything_from_a_host_renews_its_lease() -> None:
    policy = running("a", "b")
    replay(policy, (29, heard("a", "b")), (58, tick()), (58, heard("a")), (58, heard("b")), (87, tick()))
    assert policy.phase == RUNNING


def test_lease_counts_anew_from_the_go() -> None:
    policy = job("a", "b")
    replay(policy, (1, ready("a")), (29, ready("b")), (58, tick()))
    assert policy.phase == RUNNING
    replay(policy, (59, tick()))
    assert policy.phase == STOPPING


def test_lost_host_that_is_found_again_brings_the_rest() -> None:
    policy = running("a", "b")
    replay(policy, (5, closed("b")), (6, exited(0, 0, stopped=True)), (6, done("a")))
    assert policy.phase == STOPPING
    actions = replay(policy, (7, exited(1, 5, at=4.9)), (8, done("b")))
    assert orders(actions) == ["bye b"]
    assert (policy.phase, policy.returncode, len(policy.ends)) == (FINISHED, 3, 2)


@pytest.mark.parametrize(
    ("history", "reason"),
    [([(24.9, tick()), (25.0, tick())], "no answer"), ([(14.5, closed("b", "No route to host"))], "No route to host")],
    ids=["silence", "closed again"],
)
def test_lost_host_that_is_not_found_is_given_up(history: History, reason: str) -> None:
    policy = running("a", "b")
    replay(policy, (5, closed("b")), (6, exited(0, 0, stopped=True)), (6, done("a")))
    actions = replay(policy, *history)
    assert [order for order in orders(actions) if "ping" not in order] == ["close b"]
    [missed] = [action for action in actions if isinstance(action, Miss)]
    assert missed.text.startswith(f"out of reach ({reason}); its ranks end by themselves within 40 s")
    assert (policy.phase, policy.returncode) == (FINISHED, 3)


def test_lost_host_is_tried_again_every_second() -> None:
    policy = running("a", "b")
    replay(policy, (5, closed("b")), (6, exited(0, 0, stopped=True)), (6, done("a")))
    assert orders(replay(policy, (6.5, closed("b", "Connection refused")))) == []
    assert policy.deadline() <= 7.5
    assert orders(replay(policy, (7.0, tick()))) == []
    assert orders(replay(policy, (7.5, tick()))) == ["recover b"]
    assert orders(replay(policy, (7.6, tick()))) == []
    replay(policy, (8, exited(1, 0, stopped=True)), (8, done("b")))
    assert policy.phase == FINISHED


def test_host_that_does_not_confirm_is_lost() -> None:
    policy = running("a", grace=4, lease=100)
    replay(policy, (1, stop()), (19.9, tick()))
    assert policy.hosts["a"].state == "running"
    actions = replay(policy, (20, tick()))
    assert texts(actions, "host_lost") == ["did not confirm that its ranks have ended"]
    assert orders(actions) == ["close a", "recover a"]
    assert (policy.returncode, policy.phase) == (130, STOPPING)


@pytest.mark.parametrize("history", [[(1, exited(0)), (1, done("a"))], [(1, closed("a")), (2, closed("a"))]], ids=["done", "given up"])
def test_channel_that_closes_when_all_is_over_says_nothing(history: History) -> None:
    policy = running("a", "b")
    replay(policy, *history)
    assert replay(policy, (3, closed("a"))) == []


# -- time


def test_time_limit_ends_the_job_with_124() -> None:
    policy = running("a", "b", timeout=60, lease=1000)
    assert policy.deadline() == 60
    replay(policy, (59.9, tick()))
    assert policy.phase == RUNNING
    actions = replay(policy, (60, tick()))
    assert orders(actions) == ["stop a", "stop b"]
    assert policy.cause == Cause("timeout", 124, "the job has run for its limit of 60 s")
    assert policy.returncode == 124


def test_time_limit_counts_from_the_go() -> None:
    policy = job("a", timeout=5)
    replay(policy, (20, ready("a")), (24.9, tick()))
    assert policy.phase == RUNNING
    replay(policy, (25, tick()))
    assert policy.phase == STOPPING


def test_rank_that_fails_at_the_limit_does_not_change_the_status() -> None:
    policy = running("a", timeout=60, lease=1000)
    replay(policy, (60, tick()), (61, exited(0, signal=signal.SIGTERM, stopped=True)), (61, done("a")))
    assert (policy.phase, policy.returncode, policy.first_failure) == (FINISHED, 124, None)


def test_ready_hosts_are_pinged_three_times_per_lease() -> None:
    policy = job("a", "b", lease=30, connect=100)
    pings = []
    replay(policy, (1, ready("a")))
    for second in range(2, 100):
        policy.on_heard("a", second)
        pings += [(second, order) for order in orders(replay(policy, (second, tick()))) if order.startswith("ping")]
    assert pings == [(second, "ping a") for second in range(10, 100, 10)]


def test_no_ping_once_a_host_is_lost_or_done() -> None:
    policy = running("a", "b")
    replay(policy, (1, exited(0)), (1, done("a")), (2, closed("b")))
    assert orders(replay(policy, (10, tick()))) == []


def test_wait_for_hosts_is_reported_after_2_s_and_every_5_s() -> None:
    policy = job("a", "b", "c")
    replay(policy, (0.5, ready("a")))
    said = [(second, texts(replay(policy, (second, tick())), "waiting")) for second in range(1, 14)]
    text = "waiting for 2 of 3 hosts to be ready: b, c"
    assert [(second, words) for second, words in said if words] == [(2, [text]), (7, [text]), (12, [text])]


def test_wait_for_ranks_to_end_is_reported_2_s_after_the_stop() -> None:
    policy = running("a", "b")
    replay(policy, (100, heard("a", "b")), (100, stop()), (101, exited(0, stopped=True)), (101, done("a")))
    assert texts(replay(policy, (101.9, tick())), "waiting") == []
    assert texts(replay(policy, (102, tick())), "waiting") == ["waiting for the ranks on b to end (grace 10 s)"]


def test_nothing_is_told_while_ranks_run() -> None:
    policy = running("a")
    for second in range(1, 29):
        assert reports(replay(policy, (second, tick()))) == []


@pytest.mark.parametrize(
    ("history", "deadline"),
    [
        ([], 2),
        ([(2, tick())], 7),
        ([(1, ready("a")), (1, ready("b"))], 10),
        ([(1, ready("a")), (1, ready("b")), (10, tick())], 20),
        ([(1, ready("a")), (1, ready("b")), (20, tick()), (20, heard("a"))], 30),
        ([(1, ready("a")), (1, ready("b")), (3, stop())], 5),
    ],
)
def test_next_thing_to_do_is_known(history: History, deadline: float) -> None:
    policy = job("a", "b", timeout=200)
    replay(policy, *history)
    assert policy.deadline() == pytest.approx(deadline)


def test_tick_at_the_deadline_does_what_is_due() -> None:
    policy = running("a", lease=3.0)
    replay(policy, (1.1, heard("a")), (2.0, tick()), (1.1 + 3.0, tick()))
    assert policy.phase == STOPPING

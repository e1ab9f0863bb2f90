"""The loop of a job on scripted histories: no process, socket, signal or clock of this machine takes part."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.gang import _FRAMES, BACKLOG, Gang
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.unit.gangs import (
    World,
    done,
    exited,
    frame,
    frames,
    lost,
    ready,
    requested,
    sink,
    specs_of,
    together,
    typed,
)
from tests.unit.jobs import job

# Both hosts of a job, one rank each, as they end without a failure.
ALL_WELL = ((2.0, together(exited("a", 0), exited("b", 1))), (2.1, done("a", "b")))
NO_FRAME = 199


def gang_in(world: World, *hosts: str, **limits: float) -> Gang:
    """Return the gang of a job with one rank per name."""
    policy = job(*(hosts or ("a", "b")), **limits)
    return Gang(policy, specs_of(policy.table.hosts), world, world, world, world, world.clock)


def run(*script: Any, **limits: float) -> tuple[World, Gang]:
    """Run a job on hosts a and b through a script to its end."""
    world = World(*script)
    gang = gang_in(world, **limits)
    gang.run()
    assert not world.hosts, "a connection is left open"
    return world, gang


def causes(gang: Gang) -> tuple[str | None, int]:
    """Return the kind of the job's cause, and its exit status."""
    return gang.policy.cause.kind if gang.policy.cause else None, gang.policy.returncode


# -- a job that goes well


def test_job_runs_from_its_requests_to_the_confirmations() -> None:
    output = frame("a", wire.STDOUT, b"hello\n", rank=0)
    world, gang = run((0.5, ready("a")), (1.0, ready("b")), (1.5, output), *ALL_WELL)
    assert world.opened == [(host, False, spec) for host, spec in specs_of(["a", "b"]).items()]
    assert [world.orders(kind) for kind in (wire.GO, wire.STOP, wire.BYE)] == [["a", "b"], [], ["a", "b"]]
    assert world.kinds() == ["host_ready", "host_ready", "rank_output", "rank_exited", "rank_exited"]
    assert world.of_kind("rank_output") == [
        {"event": "rank_output", "host": "a", "rank": 0, "stream": "stdout", "offset": 0, "payload": b"hello\n"}
    ]
    assert causes(gang) == (None, 0)


def test_no_go_before_the_last_host_is_ready() -> None:
    world = World((1.0, ready("a")), (2.0, lost("b", "no route")))
    gang = gang_in(world)
    gang.run()
    assert world.orders(wire.GO) == []
    assert causes(gang) == ("not_ready", 3)
    assert gang.policy.problems == {"b": ["no route"]}


def test_first_failing_rank_stops_the_other_host() -> None:
    world, gang = run(
        (1.0, ready("a", "b")),
        (2.0, exited("b", 1, 7)),
        (2.2, exited("a", 0, 143, stopped=True)),
        (2.3, done("a", "b")),
    )
    assert world.orders(wire.STOP) == ["a", "b"]
    assert causes(gang) == ("rank_failed", 7)


def test_actions_follow_each_frame_at_once() -> None:
    """A stop must not wait for the rest of what came with its reason."""
    failure = {"code": 7, "signal": 0, "at": 1.0, "stopped": False}
    world = World((1.0, ready("a", "b")), (2.0, frames("a", (wire.EXITED, failure), (wire.WARNING, {"text": "later"}))))
    world.script += [(2.1, exited("b", 1, stopped=True)), (2.2, done("a", "b"))]
    gang_in(world).run()
    assert world.kinds().index("job_stopping") < world.kinds().index("warning")


def test_host_warnings_are_reported_with_the_host() -> None:
    world, _gang = run((1.0, ready("a", "b")), (1.5, frame("b", wire.WARNING, {"text": "disk full"})), *ALL_WELL)
    assert world.of_kind("warning") == [{"event": "warning", "host": "b", "rank": None, "text": "disk full"}]


def test_idle_wait_lasts_until_the_policy_or_a_sink_is_due() -> None:
    world = World((1.0, ready("a", "b")), *ALL_WELL)
    world.due = 0.25
    gang_in(world, lease=30.0).run()
    assert world.waits[0] == 0.25
    assert world.waits[1] > 0.25
    assert world.ticks[0] == 0.25


# -- frames that do not fit


def test_every_kind_that_hosts_send_has_a_handler() -> None:
    of_the_host, of_mpirun, of_stdin = {*range(1, 10)}, {50, 51, 52}, {73}
    assert set(_FRAMES) == of_the_host | of_mpirun | of_stdin


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (frame("b", NO_FRAME), "b sent a frame of unknown kind 199"),
        (frame("b", wire.STDOUT, b"x", rank=0), "b sent a frame about rank 0, which does not run there"),
        (frame("b", wire.EXITED, {"code": 0}, rank=9), "b sent a frame about rank 9, which does not run there"),
        (frame("b", wire.WARNING, b"{"), "frame of kind 7 does not hold JSON"),
        (frame("b", wire.SAID, {"name": "mpirun", "text": "x"}), "mpirun"),
    ],
)
def test_frame_that_does_not_fit_loses_its_host(wrong: Any, text: str) -> None:
    world, gang = run(
        (1.0, ready("a", "b")),
        (1.5, wrong),
        (2.0, together(exited("a", 0, stopped=True), exited("b", 1, stopped=True))),
        (2.1, done("a", "b")),
    )
    assert world.closed[0] == "b"
    assert text in world.of_kind("host_lost")[0]["text"]
    assert world.orders(wire.STOP) == ["a"]
    assert causes(gang) == ("host_lost", 3)


def test_frames_before_the_wrong_one_count() -> None:
    world = World((1.0, ready("a", "b")), (1.5, frames("b", (wire.WARNING, {"text": "first"}), (NO_FRAME, {}))))
    world.script += [(2.0, exited("a", 0, stopped=True)), (2.1, done("a", "b"))]
    gang_in(world).run()
    assert [event["text"] for event in world.of_kind("warning")] == ["first"]


# -- connections that break


def test_recovery_asks_for_the_rest_of_the_output() -> None:
    world, gang = run(
        (1.0, ready("a", "b")),
        (1.1, frame("b", wire.STDOUT, b"12345", rank=1)),
        (1.2, frame("b", wire.STDERR, b"123", rank=1, offset=4)),
        (1.3, lost("b", "broken pipe")),
        (1.4, together(exited("a", 0, stopped=True), frame("b", wire.STDOUT, b"67", rank=1, offset=5), exited("b", 1, stopped=True))),
        (1.5, done("a", "b")),
    )
    host, fresh, spec = world.opened[-1]
    assert (host, fresh) == ("b", True)
    assert spec == {
        "job": "j",
        "index": 1,
        "grace": 10.0,
        "lease": 30.0,
        "recover": True,
        "have": {"1": {"stdout": 5, "stderr": 7}},
        "patience": 20.0,
    }
    assert [event["offset"] for event in world.of_kind("rank_output")] == [0, 4, 5]
    assert causes(gang) == ("host_lost", 3)


def test_host_that_stays_out_of_reach_is_given_up() -> None:
    world, gang = run((1.0, ready("a", "b")), (1.3, lost("b")), (1.4, exited("a", 0, stopped=True)), (1.5, done("a")), recover=5)
    assert world.opened[-1][:2] == ("b", True)
    assert "out of reach (no answer)" in world.of_kind("warning")[-1]["text"]
    assert causes(gang) == ("host_lost", 3)


PRINTED = together(frame("b", wire.STDOUT, b"12345", rank=1), frame("b", wire.STDERR, b"123", rank=1, offset=4))


def test_recovery_that_finds_nothing_is_told_with_the_offsets() -> None:
    nothing = frame("b", wire.DONE, {"remaining": {}, "known": False})
    script = [(1.1, PRINTED), (1.3, lost("b")), (1.4, exited("a", 0, stopped=True)), (1.5, together(done("a"), nothing))]
    world, gang = run((1.0, ready("a", "b")), *script)
    last = world.of_kind("warning")[-1]
    assert (last["host"], last["text"].partition("; bytes ")[2]) == ("b", "that were received: rank 1: stdout 5, stderr 7")
    assert last["text"].startswith("nothing of the job is left there; the rest of its output, and how its ranks ended, is lost; ")
    assert (causes(gang), sorted(gang.policy.ends)) == (("host_lost", 3), [0])


def test_host_that_is_given_up_is_told_with_the_offsets() -> None:
    script = [(1.1, PRINTED), (1.3, lost("b")), (1.4, exited("a", 0, stopped=True)), (1.5, done("a"))]
    world, _gang = run((1.0, ready("a", "b")), *script, recover=5)
    last = world.of_kind("warning")[-1]
    assert (last["host"], last["text"].partition("; bytes ")[2]) == ("b", "that were received: rank 1: stdout 5, stderr 7")


def test_silent_host_is_lost_after_the_lease() -> None:
    answers = [(float(at), frame("a", wire.PONG)) for at in range(2, 14, 2)]
    world, _gang = run((1.0, ready("a", "b")), *answers, (14.0, exited("a", 0, stopped=True)), (14.1, done("a", "b")), lease=9)
    assert [(event["host"], event["text"].partition(":")[0]) for event in world.of_kind("host_lost")] == [("b", "silent for 9 s")]


# -- output


def test_output_is_acknowledged_only_once_it_is_on_the_disk() -> None:
    some = frame("a", wire.STDOUT, bytes(8 * 1024 * 1024), rank=0)
    script = [(1.1, some), (1.2, sink(on_disk=[(0, "stdout", 4096)])), *ALL_WELL]
    world, _gang = run((1.0, ready("a", "b")), *script)
    [(host, ack)] = [(host, sent) for host, sent in world.sent if sent.kind == wire.ACK]
    assert (host, ack.rank, ack.offset, ack.json()) == ("a", 0, 4096, {"stream": "stdout"})


def test_record_that_cannot_be_written_stops_the_reading_of_hosts() -> None:
    seen: list[bool] = []

    def look(world: World) -> list[Any]:
        seen.append(world.reading)
        return []

    run(
        (1.0, ready("a", "b")),
        (1.1, sink(backlog=BACKLOG)),
        (1.2, look),
        (1.3, sink(backlog=BACKLOG + 1)),
        (1.4, look),
        (1.5, sink(backlog=BACKLOG // 4)),
        (1.6, look),
        (1.7, sink(backlog=BACKLOG // 4 - 1)),
        (1.8, look),
        *ALL_WELL,
    )
    assert seen == [True, False, False, True]


def test_trouble_with_the_record_is_told_at_once() -> None:
    world, _gang = run((1.0, ready("a", "b")), (1.1, sink(troubles=["no space"])), *ALL_WELL)
    assert world.of_kind("warning") == [{"event": "warning", "host": None, "rank": None, "text": "no space"}]


def test_hosts_are_pinged_while_nothing_is_read() -> None:
    pause = [(1.1, sink(backlog=BACKLOG + 1)), (100.0, sink(backlog=0))]
    end = [(101.0, together(exited("a", 0), exited("b", 1))), (101.1, done("a", "b"))]
    world, gang = run((1.0, ready("a", "b")), *pause, *end, lease=9)
    assert "host_lost" not in world.kinds()
    assert world.orders(wire.PING).count("a") >= 90 // 3
    assert causes(gang) == (None, 0)


@pytest.mark.parametrize("stop", [requested("interrupted"), requested("interrupted", kill=True)])
def test_no_answer_is_late_while_nothing_is_read(stop: Any) -> None:
    """The hosts have ended their ranks long before the record can be written again."""
    pause = [(1.1, sink(backlog=BACKLOG + 1)), (2.0, stop), (200.0, sink(backlog=0))]
    end = [(200.1, together(exited("a", 0, stopped=True), exited("b", 1, stopped=True))), (200.2, done("a", "b"))]
    world, gang = run((1.0, ready("a", "b")), *pause, *end, lease=9, grace=1)
    assert "host_lost" not in world.kinds()
    assert (causes(gang), sorted(gang.policy.ends)) == (("interrupted", 130), [0, 1])


def test_recovery_is_not_over_while_nothing_is_read() -> None:
    pause = [(1.1, lost("b")), (1.2, sink(backlog=BACKLOG + 1)), (200.0, sink(backlog=0))]
    end = [(200.1, together(exited("a", 0, stopped=True), exited("b", 1, 0))), (200.2, done("a", "b"))]
    world, gang = run((1.0, ready("a", "b")), *pause, *end, lease=9, grace=1, recover=5)
    assert "warning" not in world.kinds()
    assert sorted(gang.policy.ends) == [0, 1]


def test_output_that_a_host_did_not_keep_is_told_with_its_offsets() -> None:
    script = [(1.1, frame("b", wire.STDOUT, b"12345", rank=1)), (1.2, frame("b", wire.STDOUT, b"x", rank=1, offset=105)), *ALL_WELL]
    world, _gang = run((1.0, ready("a", "b")), *script)
    assert [(event["host"], event["text"]) for event in world.of_kind("warning")] == [
        ("b", "rank 1: its stdout is lost from byte 5 to 105; the host did not keep it")
    ]


def test_host_that_warns_without_end_fills_no_record() -> None:
    many = frames("b", *[(wire.WARNING, {"text": f"{number} " + "x" * 60_000}) for number in range(5000)])
    world, gang = run((1.0, ready("a", "b")), (1.1, many), (1.2, frame("a", wire.WARNING, {"text": "disk"})), *ALL_WELL)
    warnings = world.of_kind("warning")
    assert sum(len(event["text"]) for event in warnings) < 500_000
    assert [event["text"] for event in warnings if event["host"] == "a"] == ["disk"]
    assert warnings[-1]["text"] == f"{5000 - len(warnings) + 2} of its messages were left out"
    assert causes(gang) == (None, 0)


def test_host_that_differs_in_everything_fills_no_record() -> None:
    many = {f"MLX_{number}": "1" for number in range(60_000)}
    world, gang = run((0.9, frame("b", wire.READY, {"cwd": "/", "environment": many})), (1.0, ready("a")), *ALL_WELL)
    warnings = world.of_kind("warning")
    assert {event["host"] for event in warnings} == {"b"}
    assert len(warnings) < 20
    assert causes(gang) == (None, 0)


def test_host_that_repeats_a_start_is_lost_and_fills_no_record() -> None:
    many = together(*[frame("b", wire.STARTED, {"pid": number}, rank=1) for number in range(1, 5001)])
    world, gang = run((1.0, ready("a", "b")), (1.1, many), (2.0, exited("a", 0, stopped=True)), (2.1, done("a", "b")))
    assert [(event["rank"], event["pid"]) for event in world.of_kind("rank_started")] == [(1, 1)]
    assert [(event["host"], event["text"]) for event in world.of_kind("host_lost")] == [("b", "b: reports a second start of rank 1")]
    assert causes(gang) == ("host_lost", 3)


def test_job_ends_when_nobody_reads_its_output() -> None:
    stopped = together(exited("a", 0, stopped=True), exited("b", 1, stopped=True))
    world, gang = run((1.0, ready("a", "b")), (1.5, sink(broken=True)), (1.6, stopped), (1.7, done("a", "b")))
    assert world.orders(wire.STOP) == ["a", "b"]
    assert causes(gang) == ("output_closed", 141)


# -- requests to stop


STOPPED = ((9.0, together(exited("a", 0, stopped=True), exited("b", 1, stopped=True))), (9.1, done("a", "b")))


@pytest.mark.parametrize(
    ("requests", "stops", "kills"),
    [
        ([requested()], 2, 0),
        ([requested(kill_if_stopping=True)], 2, 0),
        ([requested(), requested()], 2, 0),
        ([requested(), requested(kill_if_stopping=True)], 2, 2),
        ([requested(kill_if_stopping=True), requested(kill_if_stopping=True), requested(kill_if_stopping=True)], 2, 2),
        ([requested(kill=True)], 0, 2),
        ([requested(), requested(kill=True)], 2, 2),
    ],
)
def test_request_to_stop_becomes_stop_or_kill(requests: list[Any], stops: int, kills: int) -> None:
    happenings = [(2.0 + at, request) for at, request in enumerate(requests)]
    world, gang = run((1.0, ready("a", "b")), *happenings, *STOPPED)
    assert (len(world.orders(wire.STOP)), len(world.orders(wire.KILL))) == (stops, kills)
    assert causes(gang) == ("interrupted", 130)


def test_request_before_the_go_starts_no_rank() -> None:
    world, gang = run((1.0, ready("a")), (2.0, requested("launcher_gone", 143)))
    assert world.orders(wire.GO) == []
    assert (world.orders(wire.BYE), world.closed) == (["a"], ["b", "a"])
    assert causes(gang) == ("launcher_gone", 143)


def test_request_before_the_start_opens_no_connection() -> None:
    world = World()
    requested()(world)
    gang = gang_in(world)
    gang.run()
    assert world.opened == []
    assert causes(gang) == ("interrupted", 130)


def test_host_refused_before_the_start_is_not_opened() -> None:
    """Its deploy has failed; the other is asked all the same."""
    world = World((1.0, ready("b")))
    gang = gang_in(world)
    gang.policy.refuse({"a": ["no space left"]}, 0.0)
    gang.run()
    assert [host for host, _fresh, _spec in world.opened] == ["b"]
    assert world.kinds() == ["host_refused", "host_ready"]
    assert causes(gang) == ("not_ready", 3)


# -- standard input


def test_stdin_goes_to_its_rank_or_to_all_hosts() -> None:
    inputs = together(
        typed(wire.STDIN, b"one", 1),
        typed(wire.SCREEN, b"{}", wire.EVERY_RANK),
        typed(wire.STDIN_END, b"", 7),
    )
    world, _gang = run((1.0, ready("a", "b")), (1.5, inputs), *ALL_WELL)
    given = [
        (host, sent.kind, sent.rank, sent.payload) for host, sent in world.sent if sent.kind in (wire.STDIN, wire.SCREEN, wire.STDIN_END)
    ]
    everybody = (wire.SCREEN, wire.EVERY_RANK, b"{}")
    assert given == [("b", wire.STDIN, 1, b"one"), ("a", *everybody), ("b", *everybody)]


def test_credit_for_stdin_goes_to_the_launching_program() -> None:
    world, _gang = run((1.0, ready("a", "b")), (1.5, frame("b", wire.CREDIT, rank=1, offset=65536)), *ALL_WELL)
    assert [(sent.kind, sent.rank, sent.offset) for sent in world.forwarded] == [(wire.CREDIT, 1, 65536)]


def test_credit_that_no_honest_host_gives_is_cut() -> None:
    world, _gang = run(
        (1.0, ready("a", "b")), (1.5, frame("b", wire.CREDIT, rank=1, offset=2**60)), (1.6, typed(wire.STDIN, b"x" * 100, 1)),
        (1.7, frame("b", wire.CREDIT, rank=1, offset=2**60)), *ALL_WELL,
    )  # fmt: skip
    assert [sent.offset for sent in world.forwarded] == [wire.WINDOW, 100 + wire.WINDOW]


@pytest.mark.parametrize("upto", [65536, 2**60, wire.UNLIMITED])
def test_credit_that_has_not_risen_is_not_forwarded(upto: int) -> None:
    many = together(*[frame("b", wire.CREDIT, rank=1, offset=upto)] * 5000)
    world, _gang = run((1.0, ready("a", "b")), (1.5, many), *ALL_WELL)
    assert len(world.forwarded) == 1


# -- once more


def test_second_gang_runs_over_the_same_surroundings() -> None:
    """A restart: new rules and a new gang, the same connections, stops and sinks."""
    world = World((1.0, ready("a", "b")), (2.0, together(exited("a", 0, 9), exited("b", 1, stopped=True))), (2.1, done("a", "b")))
    first = gang_in(world)
    first.run()
    assert causes(first) == ("rank_failed", 9)
    assert world.hosts == []
    world.script += [(3.0, ready("a", "b")), (4.0, together(exited("a", 0), exited("b", 1))), (4.1, done("a", "b"))]
    second = gang_in(world)
    second.run()
    assert causes(second) == (None, 0)
    assert [host for host, _fresh, _spec in world.opened] == ["a", "b", "a", "b"]

"""What a person at a terminal reads."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._describe import Describer, make_prefix

quiet, verbose = Describer(colour=False, verbose=False), Describer(colour=False, verbose=True)

STOPPED = {"rank": 0, "host": "mac-1", "returncode": 143, "signal": "SIGTERM", "duration": 12.4, "stopped": True}
FAILED = {"rank": 1, "host": "mac-2", "returncode": 7, "signal": None, "duration": 12.3, "stopped": False}


def event(name: str, **details: Any) -> dict[str, Any]:
    return {"event": name, "job": "j1", "time": 0.0, "host": None, "rank": None, **details}


def finished(**details: Any) -> dict[str, Any]:
    base = {
        "returncode": 7,
        "cause": "rank_failed",
        "message": "rank 1 on mac-2 exited with code 7 after 12.3 s",
        "problems": {},
        "first_failure": {**FAILED, "error": "", "tail": ["Traceback:", "ValueError: no"]},
        "ranks": [STOPPED, FAILED],
        "duration": 12.5,
        "run_dir": "/runs/j1",
    }
    return event("job_finished", **{**base, **details})


def test_failure_tells_rank_host_code_duration_last_lines_and_logs() -> None:
    assert quiet(finished()) == (
        "mlxlaunch: rank 1 on mac-2 exited with code 7 after 12.3 s (exit status 7)\n"
        "  its last lines:\n"
        "    Traceback:\n"
        "    ValueError: no\n"
        "  ended because of it: rank 0 (mac-1, SIGTERM)\n"
        "  logs: /runs/j1"
    )


def test_failure_without_output_or_record_tells_what_there_is() -> None:
    text = quiet(finished(first_failure={**FAILED, "error": "", "tail": []}, ranks=[FAILED], run_dir=""))
    assert text == "mlxlaunch: rank 1 on mac-2 exited with code 7 after 12.3 s (exit status 7)"


def test_job_that_ended_for_another_reason_has_no_failing_rank() -> None:
    text = quiet(finished(message="the job has run for its limit of 60 s", returncode=124, first_failure=None, ranks=[STOPPED]))
    assert text == (
        "mlxlaunch: the job has run for its limit of 60 s (exit status 124)\n"
        "  ended because of it: rank 0 (mac-1, SIGTERM)\n  logs: /runs/j1"
    )


def test_rank_that_was_stopped_and_exited_is_told_with_its_code() -> None:
    text = quiet(finished(ranks=[{**STOPPED, "signal": None, "returncode": 0}]))
    assert "rank 0 (mac-1, code 0)" in str(text)


def test_many_stopped_ranks_are_counted() -> None:
    text = str(quiet(finished(ranks=[{**STOPPED, "rank": rank} for rank in range(30)])))
    assert "7 (mac-1, SIGTERM) and 22 more" in text
    assert "8 (mac-1" not in text


def test_hosts_that_are_not_ready_stand_in_a_table() -> None:
    problems = {"mac-10": ["python /x is not there", "script y is not there"], "m2": ["Permission denied"]}
    assert quiet(finished(problems=problems, message="2 of 3 hosts not ready: mac-10, m2; no rank was started anywhere", returncode=3)) == (
        "mlxlaunch: 2 of 3 hosts not ready: mac-10, m2; no rank was started anywhere\n"
        "  mac-10  python /x is not there\n"
        "  mac-10  script y is not there\n"
        "  m2      Permission denied"
    )


READY = event("host_ready", host="mac-1", cwd="/x", supervisor_python="3.9.6")
SUCCESS = finished(returncode=0, first_failure=None, message="all ranks returned 0", ranks=[], duration=3.14)


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (event("job_started", world_size=4, hosts=["a", "b"]), "mlxlaunch: job j1: 4 ranks on 2 hosts"),
        (READY, "mlxlaunch: mac-1 is ready (working directory /x, supervisor on Python 3.9.6)"),
        (event("rank_started", host="a", rank=2, pid=77), "mlxlaunch: rank 2 runs on a, process 77"),
        (SUCCESS, "mlxlaunch: all ranks returned 0 after 3.1 s; logs in /runs/j1"),
        ({**SUCCESS, "run_dir": ""}, "mlxlaunch: all ranks returned 0 after 3.1 s"),
    ],
)
def test_what_goes_well_is_told_only_when_asked_for(happened: dict[str, Any], text: str) -> None:
    assert verbose(happened) == text
    assert quiet(happened) is None


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (event("waiting", text="waiting for b"), "mlxlaunch: waiting for b"),
        (event("warning", text="careful"), "mlxlaunch: warning: careful"),
        (event("warning", host="a", text="careful"), "mlxlaunch: warning: a: careful"),
        (event("host_lost", host="a", text="silent for 30 s"), "mlxlaunch: a: silent for 30 s; trying to reach it again"),
        (event("job_stopping", cause="rank_failed", text="rank 1 failed"), "mlxlaunch: rank 1 failed; ending the other ranks"),
        (event("job_stopping", cause="interrupted", text="interrupted by SIGINT"), "mlxlaunch: interrupted by SIGINT; ending the ranks"),
    ],
)
def test_what_goes_wrong_is_always_told(happened: dict[str, Any], text: str) -> None:
    assert quiet(happened) == verbose(happened) == text


@pytest.mark.parametrize("name", ["rank_output", "rank_exited", "host_refused", "something_of_tomorrow"])
def test_event_that_needs_no_words_has_none(name: str) -> None:
    assert verbose(event(name)) is None


def test_colour_is_around_the_line_and_only_when_wanted() -> None:
    happened = event("warning", text="careful")
    assert Describer(colour=True, verbose=False)(happened) == "\033[33mmlxlaunch: warning: careful\033[0m"
    assert "\033" not in str(quiet(happened))


@pytest.mark.parametrize("source", [(1, "stdout"), (1, "stderr")])
def test_prefix_names_rank_and_host(source: tuple[int, str]) -> None:
    assert make_prefix({0: "mac-1", 1: "mac-2"}, colour=False)(source) == b"[1 mac-2] "


def test_prefix_has_a_colour_per_rank() -> None:
    prefix = make_prefix(dict.fromkeys(range(7), "a"), colour=True)
    assert prefix((0, "stdout")) == b"\033[36m[0 a] \033[0m"
    assert len({prefix((rank, "stdout"))[:5] for rank in range(5)}) == 5
    assert prefix((5, "stdout"))[:5] == prefix((0, "stdout"))[:5]


def test_our_own_messages_have_no_prefix() -> None:
    assert make_prefix({0: "a"}, colour=True)(("launch", 1)) == b""

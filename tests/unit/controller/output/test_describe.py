"""What a person at a terminal reads."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import OK, Cell, Row
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import KINDS, Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import _QUIET, _TEXTS, Describer, make_prefix
from tests.unit.readers import event

quiet, verbose = Describer(colour=False, verbose=False), Describer(colour=False, verbose=True)

STOPPED = {"rank": 0, "host": "mac-1", "returncode": 143, "signal": "SIGTERM", "duration": 12.4, "stopped": True}
FAILED = {"rank": 1, "host": "mac-2", "returncode": 7, "signal": None, "duration": 12.3, "stopped": False}


def finished(**details: Any) -> Event:
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


def test_failure_names_rank_and_host_with_last_lines_and_logs() -> None:
    assert quiet(finished()) == (
        "mlxlaunch: rank 1 on mac-2 exited with code 7 after 12.3 s (exit status 7)\n"
        "  its last lines:\n"
        "    Traceback:\n"
        "    ValueError: no\n"
        "  ended because of it: rank 0 (mac-1, SIGTERM)\n"
        "  logs: /runs/j1"
    )


def test_failure_without_output_or_record_is_one_line() -> None:
    text = quiet(finished(first_failure={**FAILED, "error": "", "tail": []}, ranks=[FAILED], run_dir=""))
    assert text == "mlxlaunch: rank 1 on mac-2 exited with code 7 after 12.3 s (exit status 7)"


def test_job_that_ended_for_another_reason_has_no_failing_rank() -> None:
    text = quiet(finished(message="the job has run for its limit of 60 s", returncode=124, first_failure=None, ranks=[STOPPED]))
    assert text == (
        "mlxlaunch: the job has run for its limit of 60 s (exit status 124)\n"
        "  ended because of it: rank 0 (mac-1, SIGTERM)\n  logs: /runs/j1"
    )


def test_stopped_rank_that_exited_has_its_code() -> None:
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
        (Event.from_json({**SUCCESS.to_json(), "run_dir": ""}), "mlxlaunch: all ranks returned 0 after 3.1 s"),
    ],
)
def test_success_is_described_only_when_verbose(happened: Event, text: str) -> None:
    assert verbose(happened) == text
    assert quiet(happened) is None


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (event("waiting", text="waiting for b"), "mlxlaunch: waiting for b"),
        (event("note", text="train.py goes with helper.py"), "mlxlaunch: train.py goes with helper.py"),
        (event("warning", text="careful"), "mlxlaunch: warning: careful"),
        (event("warning", host="a", text="careful"), "mlxlaunch: warning: a: careful"),
        (event("host_lost", host="a", text="silent for 30 s"), "mlxlaunch: a: silent for 30 s; trying to reach it again"),
        (event("job_stopping", cause="rank_failed", text="rank 1 failed"), "mlxlaunch: rank 1 failed; ending the other ranks"),
        (event("job_stopping", cause="interrupted", text="interrupted by SIGINT"), "mlxlaunch: interrupted by SIGINT; ending the ranks"),
    ],
)
def test_trouble_is_always_described(happened: Event, text: str) -> None:
    assert quiet(happened) == verbose(happened) == text


@pytest.mark.parametrize("name", ["rank_output", "rank_exited", "host_refused", "something_of_tomorrow"])
def test_quiet_and_unknown_events_have_no_text(name: str) -> None:
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


def test_every_kind_has_a_text_or_is_quiet() -> None:
    assert _TEXTS.keys() | _QUIET == set(KINDS)
    assert not _TEXTS.keys() & _QUIET


def test_mpirun_speaks_in_lines_of_its_own() -> None:
    said = event("mpirun_said", host="a", name="its daemon", text="one\n\n two\n")
    assert quiet(said) == "mlxlaunch: its daemon on a: one\nmlxlaunch: its daemon on a:  two"
    assert quiet(event("mpirun_said", host="a", name="mpirun", text="\n")) is None


DEPLOYED = {"problems": {}, "returncode": 0, "message": "2 hosts changed", "duration": 1.23}


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "mlxlaunch: 2 hosts changed (1.2 s)"),
        ({"returncode": 130, "message": "interrupted by SIGINT"}, "mlxlaunch: interrupted by SIGINT"),
        ({"returncode": 3, "message": "1 of 2", "problems": {"a": ["full"], "b": ["full"]}}, "mlxlaunch: 1 of 2\n  a, b  full"),
    ],
)
def test_end_of_a_deploy_is_described(details: dict[str, Any], text: str) -> None:
    assert quiet(event("deploy_finished", **DEPLOYED | details)) == text


def test_deployed_host_is_named_with_part_and_path() -> None:
    assert quiet(event("host_deployed", host="a", what="project", path="/p")) == "mlxlaunch: a: brought the project to /p"


def test_end_of_a_check_is_a_table_and_a_line() -> None:
    row = Row("mac-1", (0,), {"reachable": Cell("ok", OK)}).to_json()
    checked = {"checks": [row], "width": None, "message": "mac-1 is ready", "returncode": 0}
    assert quiet(event("check_finished", **checked)) == "host   ssh\nmac-1  ok\n\nmlxlaunch: mac-1 is ready"
    assert quiet(event("check_finished", **checked | {"checks": []})) == "mlxlaunch: mac-1 is ready"

"""The record of a job on the controller."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.offsets import ACK_EVERY
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record import files as files_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import (
    PATIENCE,
    RunDir,
    default_log_dir,
    log_folder,
    log_path,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import BACKLOG
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.writer import write_all
from tests.unit.controller.output.disks import limited
from tests.unit.readers import Clock, Woken, event, output


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[RunDir]:
    made = RunDir(tmp_path / "runs" / "j1")
    yield made
    made.close()


def events(run_dir: RunDir) -> list[dict[str, Any]]:
    run_dir.close()
    return [json.loads(line) for line in (run_dir.path / "events.jsonl").read_text().splitlines()]


def test_record_has_events_and_a_log_per_stream(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=0))
    run_dir.output(output(0, "stdout", 0), b"out\xff\n")
    run_dir.output(output(0, "stderr", 0), b"err\n")
    run_dir.event(event("waiting", text="x"))
    run_dir.output(output(0, "stdout", 5), b"more")
    found = events(run_dir)
    assert (run_dir.log(0, "stdout").read_bytes(), run_dir.log(0, "stderr").read_bytes()) == (b"out\xff\nmore", b"err\n")
    assert [line["event"] for line in found] == ["rank_started", "rank_output", "rank_output", "waiting", "rank_output"]
    assert (found[4]["offset"], found[4]["length"]) == (5, 4)


def test_events_of_tokens_cost_less_than_the_tokens(run_dir: RunDir) -> None:
    for at in range(0, 1200, 4):
        run_dir.output(output(0, offset=at), b"tok ")
    lines = events(run_dir)
    assert (run_dir.path / "events.jsonl").stat().st_size < 1200
    assert sum(line["length"] for line in lines) == 1200


def test_rank_that_printed_nothing_has_empty_logs(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=3))
    run_dir.close()
    assert [run_dir.log(3, stream).read_bytes() for stream in ("stdout", "stderr")] == [b"", b""]


def test_file_of_a_record_can_be_written_anew(run_dir: RunDir) -> None:
    """As when the first range of ports is taken on a host."""
    run_dir.write("job.json", {"ranks": [1, 2, 3]})
    run_dir.write("job.json", {"ranks": []})
    run_dir.close()
    assert json.loads((run_dir.path / "job.json").read_text()) == {"ranks": []}
    assert run_dir.missing() == ""


def test_record_is_for_its_user_only(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=0))
    run_dir.close()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (run_dir.path, *run_dir.path.rglob("*"))}
    assert set(modes.values()) == {0o700, 0o600}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_record_of_another_job_is_not_written_over(run_dir: RunDir) -> None:
    with pytest.raises(FileExistsError):
        RunDir(run_dir.path)


def test_file_system_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is given to the record is taken at once; then everything is written."""
    answers, clock = threading.Event(), Clock()
    monkeypatch.setattr(files_module, "write_all", lambda fd, data: answers.wait() and write_all(fd, data))
    run_dir = RunDir(tmp_path / "j1", clock=clock)
    run_dir.event(event("rank_started", rank=0))
    for at in range(0, 6_000_000, 100_000):
        run_dir.output(output(0, offset=at), bytes(100_000))
    assert run_dir.backlog > BACKLOG
    assert run_dir.warnings() == []
    due = run_dir.deadline()
    assert due
    clock.now = due
    [told] = run_dir.warnings()
    assert told.startswith(f"cannot write {run_dir.path}/events.jsonl: the file system does not answer; the job goes on")
    clock.now += 100_000
    run_dir.tick(clock.now)
    assert (run_dir.warnings(), run_dir.given_up) == ([], False)
    answers.set()
    assert run_dir.settle(30)
    assert run_dir.warnings() == [f"{run_dir.path}/events.jsonl can be written again"]
    run_dir.close()
    assert (run_dir.missing(), run_dir.log(0, "stdout").stat().st_size) == ("", 6_000_000)


def test_job_that_ends_waits_for_the_disk_a_limited_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, clock = threading.Event(), Clock()
    monkeypatch.setattr(files_module, "write_all", lambda _fd, _data: answers.wait())
    run_dir = RunDir(tmp_path / "j1", clock=clock)
    run_dir.output(output(0), bytes(100))
    run_dir.event(event("job_stopping"))
    clock.now += PATIENCE - 1
    run_dir.tick(clock.now)
    assert not run_dir.given_up
    clock.now += 2
    run_dir.tick(clock.now)
    assert (run_dir.given_up, run_dir.hangs, run_dir.backlog) == (True, True, 0)
    assert run_dir.missing() == "the file system does not answer; lost: rank 0 stdout from byte 0 to 100"
    answers.set()
    run_dir.close()


def test_full_disk_is_told_at_once_and_when_it_is_over(tmp_path: Path) -> None:
    woken = Woken()
    run_dir = RunDir(tmp_path / "j1", woken)
    with limited(2500):
        for at in range(0, 3000, 100):
            run_dir.output(output(0, offset=at), b"%04d" % at * 25)
        woken.wait()
        [told] = run_dir.warnings()
        assert told.startswith(f"cannot write {run_dir.path}/0/stdout.log: File too large; the job goes on, and its output stays")
        assert (run_dir.warnings(), run_dir.broken) == ([], False)
    assert run_dir.settle(30)
    assert run_dir.warnings() == [f"{run_dir.path}/0/stdout.log can be written again"]
    found = events(run_dir)
    assert [(line["offset"], line["length"]) for line in found] == [(0, 3000)]
    assert run_dir.log(0, "stdout").read_bytes() == b"".join(b"%04d" % at * 25 for at in range(0, 3000, 100))


def test_safe_output_is_told_by_its_offset(run_dir: RunDir) -> None:
    run_dir.output(output(3, "stderr"), bytes(ACK_EVERY))
    assert run_dir.settle(30)
    assert (run_dir.safe(), run_dir.safe()) == ([(3, "stderr", ACK_EVERY)], [])


def test_mark_is_reached_when_everything_before_it_is_written(run_dir: RunDir) -> None:
    run_dir.output(output(0), b"abc")
    mark = run_dir.mark()
    run_dir.output(output(0, offset=3), b"def")
    assert run_dir.settle(30)
    assert mark.position == len((run_dir.path / "events.jsonl").read_text().splitlines(keepends=True)[0])


def test_event_with_a_name_that_is_no_utf8_is_recorded(run_dir: RunDir) -> None:
    run_dir.event(event("host_ready", host="a", cwd="/data/\udcff"))
    assert events(run_dir)[0]["event"] == "host_ready"


def test_output_of_a_rank_without_a_start_is_recorded(run_dir: RunDir) -> None:
    run_dir.output(output(0), b"from a recovery")
    run_dir.close()
    assert run_dir.log(0, "stdout").read_bytes() == b"from a recovery"


def test_log_path_needs_no_record() -> None:
    assert log_path(Path("/runs/j1"), 3, "stderr") == Path("/runs/j1/3/stderr.log")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/state"}, Path("/state/mlxlaunch/runs")),
        ({}, Path.home() / ".local/state/mlxlaunch/runs"),
        ({"XDG_STATE_HOME": ""}, Path.home() / ".local/state/mlxlaunch/runs"),
    ],
)
def test_record_is_in_the_users_state_directory(environ: dict[str, str], expected: Path) -> None:
    assert default_log_dir(environ) == expected


def test_folder_of_records_may_be_in_the_home_directory() -> None:
    assert (log_folder("~/runs"), log_folder("")) == (Path.home() / "runs", default_log_dir())

"""The run directories of earlier jobs, and which of them may go."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.runs import DAYS, RUNNING, UNFINISHED, prune, run_dirs, run_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import RunDir

NOW = time.mktime(time.strptime("20261120", "%Y%m%d"))


def record(base: Path, name: str = "20261101-101010-00000a", returncode: int | None = 0) -> Path:
    """Make a record as a job leaves it, or one that was killed."""
    path = base / name
    (path / "0").mkdir(parents=True)
    events = [{"event": "job_started", "job": name}]
    if returncode is not None:
        events.append({"event": "job_finished", "job": name, "returncode": returncode, "message": "it ended"})
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (path / "job.json").write_text("{}")
    for stream in ("stdout", "stderr"):
        (path / "0" / f"{stream}.log").write_text("x" * 100)
    return path


def names(count: int) -> list[str]:
    return [f"202611{day:02}-101010-00000a" for day in range(1, count + 1)]


def test_newest_records_stay(tmp_path: Path) -> None:
    made = [record(tmp_path, name) for name in names(6)]
    assert sorted(prune(tmp_path, 2, NOW)) == made[:4]
    assert run_dirs(tmp_path) == made[:3:-1]
    assert [path.exists() for path in made] == [False] * 4 + [True] * 2


def test_of_jobs_of_one_second_the_later_one_is_the_newest(tmp_path: Path) -> None:
    made = [record(tmp_path, f"20261101-101010-00000{digit}") for digit in "b9ca"]
    for at, path in enumerate(made):
        os.utime(path, (NOW + at, NOW + at))
    assert run_dirs(tmp_path) == made[::-1]


def test_old_records_go_however_few_there_are(tmp_path: Path) -> None:
    made = [record(tmp_path, name) for name in names(2)]
    assert prune(tmp_path, 10, NOW + (DAYS - 30) * 86400) == []
    assert sorted(prune(tmp_path, 10, NOW + DAYS * 86400)) == made


def test_zero_keeps_all(tmp_path: Path) -> None:
    record(tmp_path)
    assert prune(tmp_path, 0, NOW + 9999 * 86400) == []


def test_record_of_a_running_job_stays(tmp_path: Path) -> None:
    running = RunDir(tmp_path / "20261101-101010-00000a")
    running.event(Event("job_started", running.path.name, 1.0, None, None))
    record(tmp_path, "20261102-101010-00000a")
    assert prune(tmp_path, 1, NOW) == []
    assert run_of(running.path).state == RUNNING
    running.close()
    assert prune(tmp_path, 1, NOW) == [running.path]


def _other_file(path: Path) -> None:
    (path / "notes.txt").write_text("mine")


def _other_file_of_a_rank(path: Path) -> None:
    (path / "0" / "model.npz").write_text("mine")


def _link(path: Path) -> None:
    target = path.parent / "elsewhere"
    target.mkdir()
    (path / "1").symlink_to(target)


def _no_events(path: Path) -> None:
    (path / "events.jsonl").unlink()


def _events_of_another(path: Path) -> None:
    (path / "events.jsonl").write_text('{"event": "job_started", "job": "other"}\n')


def _another_name(path: Path) -> None:
    path.rename(path.parent / "20261101")


def _linked(path: Path) -> None:
    path.rename(path.parent / "real")
    path.symlink_to(path.parent / "real")


def _of_another_user(path: Path) -> None:
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    "change",
    [
        _other_file,
        _other_file_of_a_rank,
        _link,
        _no_events,
        _events_of_another,
        _another_name,
        _linked,
        pytest.param(_of_another_user, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")),
    ],
)
def test_what_is_no_record_of_ours_stays(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = record(tmp_path)
    record(tmp_path, "20261110-101010-00000a")
    change(path)
    before = sorted(tmp_path.rglob("*"))
    assert prune(tmp_path, 1, NOW) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_record_that_was_half_removed_goes_the_next_time(tmp_path: Path) -> None:
    path = record(tmp_path)
    record(tmp_path, "20261110-101010-00000a")
    (path / "job.json").unlink()
    (path / "0/stdout.log").unlink()
    assert prune(tmp_path, 1, NOW) == [path]


@pytest.mark.parametrize(("returncode", "state", "message"), [(0, "0", "it ended"), (7, "7", "it ended"), (None, UNFINISHED, "")])
def test_record_says_how_its_job_ended(tmp_path: Path, returncode: int | None, state: str, message: str) -> None:
    run = run_of(record(tmp_path, returncode=returncode))
    assert (run.state, run.message, run.size > 200) == (state, message, True)


def test_no_directory_is_no_records(tmp_path: Path) -> None:
    assert (run_dirs(tmp_path / "none"), prune(tmp_path / "none", 1)) == ([], [])

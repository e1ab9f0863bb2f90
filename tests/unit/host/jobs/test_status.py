# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hold on a job's folder, and the record of how ranks ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status, sweep


def test_record_is_found_by_a_later_supervisor(tmp_path: Path) -> None:
    folder = str(tmp_path / "job")
    status = Status.create(folder)
    status.exited(3, {"code": 7})
    status.save()
    os.close(status.lock)
    later = Status.reopen(folder, 0.0)
    assert later is not None
    assert later.ranks == {3: {"code": 7}}
    later.remove()
    assert not (tmp_path / "job").exists()


def test_folder_is_for_its_user_only_and_made_once(tmp_path: Path) -> None:
    Status.create(str(tmp_path / "job"))
    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        Status.create(str(tmp_path / "job"))


def test_folder_in_use_is_not_reopened(tmp_path: Path) -> None:
    status = Status.create(str(tmp_path / "job"))
    with pytest.raises(BlockingIOError):
        Status.reopen(status.folder, 0.0)


def test_folder_that_is_not_there_has_no_status(tmp_path: Path) -> None:
    assert Status.reopen(str(tmp_path / "job"), 0.0) is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}'])
def test_damaged_record_costs_only_the_ends(tmp_path: Path, text: str) -> None:
    status = Status.create(str(tmp_path / "job"))
    (tmp_path / "job" / "status.json").write_text(text)
    os.close(status.lock)
    later = Status.reopen(status.folder, 0.0)
    assert later is not None
    assert later.ranks == {}


def test_sweep_removes_old_folders_that_nobody_holds(tmp_path: Path) -> None:
    made = {name: Status.create(str(tmp_path / name)) for name in ("old-0", "used-0", "new-0", "other")}
    for name, status in made.items():
        if name != "used-0":
            os.close(status.lock)
        if name != "new-0":
            os.utime(tmp_path / name, (time.time() - 1000,) * 2)
    sweep(str(tmp_path), age=500)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-0", "other", "used-0"]


def test_sweep_keeps_the_newest_of_the_young(tmp_path: Path) -> None:
    for age in range(5):
        status = Status.create(str(tmp_path / f"job-{age}"))
        os.utime(status.folder, (time.time() - age * 10,) * 2)
        if age != 4:
            os.close(status.lock)
    sweep(str(tmp_path), number=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job-0", "job-1", "job-4"]


def test_new_job_sweeps_what_a_reboot_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    earlier = Status.make("20260101-120000-aaaaaa", 0)
    os.close(earlier.lock)  # as the kernel does at the end of all processes
    os.utime(earlier.folder, (0, 0))
    later = Status.make("20260101-120000-bbbbbb", 0)
    assert [path.name for path in Path(later.folder).parent.iterdir()] == ["20260101-120000-bbbbbb-0"]


def test_second_folder_of_a_job_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Status.make("20260101-120000-aaaaaa", 0)
    with pytest.raises(FileExistsError):
        Status.make("20260101-120000-aaaaaa", 0)

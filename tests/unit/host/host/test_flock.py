# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deploy at a time works on a directory, and none while a job uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Give a directory to lock."""
    (tmp_path / "env").mkdir()
    return str(tmp_path / "env")


def test_lock_lies_beside_its_directory() -> None:
    assert flock.lock_path("/opt/envs/abc/") == "/opt/envs/.abc.lock"


def test_jobs_hold_together_and_keep_a_deploy_out(folder: str) -> None:
    holds = [flock.hold(folder), flock.hold(folder)]
    assert flock.try_exclusive(folder) == -1
    for fd in holds:
        os.close(fd)
    fd = flock.try_exclusive(folder)
    assert fd >= 0
    flock.release(fd)


def test_deploy_at_work_keeps_jobs_out(folder: str) -> None:
    fd = flock.try_exclusive(folder)
    with pytest.raises(flock.InUse, match="a deploy is at work on it"):
        flock.hold(folder)
    assert Path(flock.lock_path(folder)).read_text() == f"process {os.getpid()}\n"
    flock.release(fd)
    assert Path(flock.lock_path(folder)).read_text() == ""
    os.close(flock.hold(folder))


def test_missing_directory_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        flock.hold(str(tmp_path / "env"))


def test_deploy_does_not_wait_for_a_job(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "PATIENCE", 0.0)
    monkeypatch.setattr(flock, "POLL", 0.001)
    held = flock.hold(folder)
    with pytest.raises(flock.InUse, match="is used by a running job"):
        flock.exclusive(folder)
    os.close(held)


def test_removed_lock_is_not_taken_for_the_next(folder: str) -> None:
    fd = flock.try_exclusive(folder)
    flock.remove(folder, fd)
    assert not Path(flock.lock_path(folder)).exists()
    fd = flock.exclusive(folder)
    flock.release(fd)

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deploy at a time works on a directory, and none while a job uses it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock
from tests.support.users import NOBODY, ONLY_ROOT, as_user


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


# -- strangers


@pytest.fixture
def open_folder() -> Iterator[str]:
    """Give a directory to lock that everybody reaches, with a umask that takes nothing away."""
    before = os.umask(0)
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        Path(parent).chmod(0o755)
        Path(parent, "env").mkdir()
        yield f"{parent}/env"
    os.umask(before)


def test_lock_is_for_its_owner_alone(open_folder: str) -> None:
    """Whoever may open one can hold it, and so keep deploys and jobs out."""
    lock = Path(flock.lock_path(open_folder))
    os.close(flock.hold(open_folder))
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    lock.unlink()
    flock.release(flock.exclusive(open_folder))
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


@ONLY_ROOT
def test_stranger_cannot_flock_a_lock(open_folder: str) -> None:
    lock = flock.lock_path(open_folder)
    os.close(flock.hold(open_folder))

    def take(flags: int) -> str:
        fcntl.flock(os.open(lock, flags), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return "taken"

    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        assert as_user(0, lambda flags=flags: take(flags)) == "taken"
        assert as_user(NOBODY, lambda flags=flags: take(flags)).startswith("PermissionError: ")
    assert as_user(NOBODY, lambda: flock.hold(open_folder)).startswith("PermissionError: ")
    flock.release(flock.exclusive(open_folder))

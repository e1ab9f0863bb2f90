"""The lock of an environment: one deploy at a time, and none while a job uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_lock import EnvLock, mark_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import InUse, hold, lock_path


@pytest.fixture
def path(root: Path) -> str:
    """The path of an environment whose directory is not there yet."""
    return str(root / "envs" / "0123456789abcdef")


def is_free(path: str) -> bool:
    lock = EnvLock.try_take(path)
    if lock:
        lock.release()
    return lock is not None


def test_lock_needs_no_environment_and_ends_with_its_context(path: str) -> None:
    with EnvLock.take(path, print):
        assert not is_free(path)
    assert is_free(path)
    assert not Path(path).exists()


def test_lock_that_is_released_is_free_once_and_for_all(path: str) -> None:
    lock = EnvLock.take(path, print)
    lock.release()
    other = EnvLock.take(path, print)
    lock.release()
    assert not is_free(path), "the first has no part in it any more"
    other.release()


def test_environment_that_a_job_uses_is_not_locked(path: str) -> None:
    Path(path).mkdir(parents=True)
    held = hold(path)
    try:
        with pytest.raises(InUse, match="is used by a running job"):
            EnvLock.take(path, print)
    finally:
        os.close(held)


def test_lock_of_an_environment_that_is_gone_leaves_no_file(path: str) -> None:
    with EnvLock.take(path, print) as lock:
        assert Path(lock_path(path)).exists()
        lock.forget()
    assert list(Path(path).parent.iterdir()) == []


def test_processes_that_build_are_told_apart_by_the_path() -> None:
    assert mark_of("/opt/envs/a") == mark_of("/opt/envs/a") != mark_of("/opt/envs/b")
    assert mark_of("/opt/\udcff/a").startswith("env-"), "a path need not be text"

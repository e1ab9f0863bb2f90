# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only the directory that a job has made is removed from a place where everybody may make some."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import shared_memory


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Give a job's folder, and a place for memory beside it."""
    (tmp_path / "shm").mkdir()
    folder = tmp_path / "20260101-120000-abcdef-0"
    folder.mkdir(mode=0o700)
    return str(folder)


def test_own_directory_is_removed_with_its_content(folder: str, tmp_path: Path) -> None:
    path = Path(shared_memory.make(folder, str(tmp_path / "shm")))
    assert (path.parent, path.stat().st_mode & 0o777) == (tmp_path / "shm", 0o700)
    (path / "deep").mkdir()
    (path / "deep/vader").touch()
    for _time in range(2):
        shared_memory.remove(folder, str(tmp_path / "shm"))
        assert not path.exists()


@pytest.mark.parametrize("made", [True, False])
def test_directory_that_somebody_else_has_made_stays(folder: str, tmp_path: Path, made: bool) -> None:
    """Also one of the same user, with the right mode: another job's, say."""
    path = tmp_path / "shm/mlxlaunch-20260101-120000-abcdef-0"
    if made:
        shared_memory.make(folder, str(tmp_path / "shm"))
        path.rename(tmp_path / "shm/kept")  # its inode cannot be the next one's
    path.mkdir(mode=0o700)
    (path / "letters").touch()
    shared_memory.remove(folder, str(tmp_path / "shm"))
    assert (path / "letters").exists()


def test_link_in_its_place_is_not_followed(folder: str, tmp_path: Path) -> None:
    path = Path(shared_memory.make(folder, str(tmp_path / "shm")))
    path.rename(tmp_path / "moved")
    (tmp_path / "moved/letters").touch()
    path.symlink_to(tmp_path / "moved")
    shared_memory.remove(folder, str(tmp_path / "shm"))
    assert (tmp_path / "moved/letters").exists()


def test_directory_that_is_there_already_is_not_used(folder: str, tmp_path: Path) -> None:
    (tmp_path / "shm/mlxlaunch-20260101-120000-abcdef-0").mkdir()
    assert shared_memory.make(folder, str(tmp_path / "shm")) == ""


def test_system_without_such_a_place_does_without(folder: str, tmp_path: Path) -> None:
    assert shared_memory.make(folder, str(tmp_path / "nowhere")) == ""
    shared_memory.remove(folder, str(tmp_path / "nowhere"))

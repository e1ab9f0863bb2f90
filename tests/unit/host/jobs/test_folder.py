# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a job and the mark of its processes: one format, read and written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import (
    LOCK,
    folder_name,
    is_job_folder,
    job_of_mark,
    mark_of,
    mark_of_folder,
    remove_folder,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status, sweep

JOB = "20260101-120000-abcdef"


def test_mark_is_read_back_from_the_folder() -> None:
    folder = f"/somewhere/{folder_name(JOB, 12)}"
    assert folder == f"/somewhere/{JOB}-12"
    assert mark_of_folder(folder) == mark_of(JOB, 12) == f"{JOB}.12"
    assert job_of_mark(mark_of(JOB, 12)) == JOB


def test_only_folders_of_jobs_are_taken_for_one() -> None:
    assert is_job_folder(f"{JOB}-0")
    assert not is_job_folder("mlx-cache")


def test_folder_is_removed_without_following_links(tmp_path: Path) -> None:
    top, other = tmp_path / "job", tmp_path / "other"
    top.mkdir(mode=0o700)
    for folder in (top / "python", other):
        folder.mkdir()
        (folder / "file").touch()
    (top / "link").symlink_to(other)
    remove_folder(str(top))
    assert not top.exists()
    assert (other / "file").exists()


def lay_out(tmp_path: Path, way: str) -> Path:
    """Return the name of a job's folder that a neighbour has prepared, leading to a victim's directory."""
    victim, name = tmp_path / "victim", tmp_path / "x-0"
    victim.mkdir(mode=0o700)
    (victim / LOCK).touch()
    (victim / "letters").touch()
    if way == "link":
        name.symlink_to(victim)
    elif way == "file":
        name.touch()
    else:
        name.mkdir(mode=0o777)
        name.chmod(0o777)
        (name / LOCK).symlink_to(victim / LOCK)
    return name


@pytest.mark.parametrize("way", ["link", "file", "open to all"])
def test_folder_that_a_neighbour_has_prepared_is_refused(tmp_path: Path, way: str) -> None:
    name = lay_out(tmp_path, way)
    with pytest.raises(OSError, match="x-0"):
        remove_folder(str(name))
    assert Status.reopen(str(name), 0.0) is None
    assert sorted(path.name for path in (tmp_path / "victim").iterdir()) == ["letters", LOCK]


@pytest.mark.parametrize("way", ["link", "file", "open to all"])
def test_sweep_leaves_what_a_neighbour_has_prepared(tmp_path: Path, way: str) -> None:
    name = lay_out(tmp_path, way)
    for path in (name, tmp_path / "victim"):
        os.utime(path, (0, 0), follow_symlinks=False)
    sweep(str(tmp_path), number=0)
    assert sorted(path.name for path in (tmp_path / "victim").iterdir()) == ["letters", LOCK]
    assert os.path.lexists(name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of another user")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    name = tmp_path / "x-0"
    name.mkdir(mode=0o700)
    os.chown(name, 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to user 65534"):
        remove_folder(str(name))
    assert name.exists()

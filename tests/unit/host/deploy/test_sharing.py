# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read a version is the mode of its directory, and of those above it below the root."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.sharing import set_modes, wrong_modes

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
TREE, RECORD, LOCK = "root/projects/llm/0123", "root/projects/llm/.0123.json", "root/projects/llm/.0123.lock"
MODES = {
    "private": {"root": 0o755, "root/projects": 0o700, "root/projects/llm": 0o700, TREE: 0o700, RECORD: 0o600, LOCK: 0o600},
    "group": {"root": 0o755, "root/projects": 0o750, "root/projects/llm": 0o750, TREE: 0o750, RECORD: 0o640, LOCK: 0o640},
    "world": {"root": 0o755, "root/projects": 0o755, "root/projects/llm": 0o755, TREE: 0o755, RECORD: 0o644, LOCK: 0o644},
}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / TREE).mkdir(parents=True)
    for name in (RECORD, LOCK):
        (tmp_path / name).touch()
    for name, mode in MODES["private"].items():
        (tmp_path / name).chmod(mode)
    (tmp_path / TREE / "train.py").touch(0o644)
    (tmp_path).chmod(0o700)
    return tmp_path


def share(top: Path, who: str) -> Mapping[str, int]:
    """Share it, and return the modes."""
    where = (str(top / "root"), [str(top / TREE)], [str(top / RECORD)], who)
    set_modes(wrong_modes(*where))
    assert wrong_modes(*where) == []
    return {name: stat.S_IMODE((top / name).stat().st_mode) for name in MODES["private"]}


@pytest.mark.parametrize("who", list(MODES))
def test_modes_are_those_of_the_setting(top: Path, who: str) -> None:
    assert share(top, who) == MODES[who]
    assert stat.S_IMODE(top.stat().st_mode) == 0o700, "above the root"
    assert stat.S_IMODE((top / TREE / "train.py").stat().st_mode) == 0o644


def test_closing_again_leaves_directories_of_other_versions_open(top: Path) -> None:
    share(top, "world")
    assert share(top, "private") == {**MODES["world"], TREE: 0o700, RECORD: 0o600, LOCK: 0o600}


def test_group_of_a_directory_stays_inherited(top: Path) -> None:
    (top / TREE).chmod(0o2700)
    assert share(top, "group")[TREE] == 0o2750


def test_what_is_not_there_needs_no_mode(tmp_path: Path) -> None:
    assert wrong_modes(str(tmp_path), [str(tmp_path / "envs" / "k")], [], "private") == []


@as_root
def test_versions_of_another_user_are_left_alone(top: Path) -> None:
    for name in (TREE, RECORD, LOCK):
        os.chown(top / name, 65534, 65534)
    (top / TREE).chmod(0o755)
    assert share(top, "private")[TREE] == 0o755


def test_link_is_left_alone(top: Path) -> None:
    (top / RECORD).unlink()
    (top / RECORD).symlink_to(top / "secret")
    (top / "secret").touch(0o600)
    share(top, "world")
    assert stat.S_IMODE((top / "secret").stat().st_mode) == 0o600

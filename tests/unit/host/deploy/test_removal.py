# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is removed is ours: no link is followed, also none that somebody puts there meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import removal
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.removal import NotOurs, remove_tree

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
NOBODY = 65534


@pytest.mark.parametrize("bytes_", [False, True])
def test_tree_is_removed_whatever_its_modes(tmp_path: Path, bytes_: bool) -> None:
    (tmp_path / "top/closed/deep").mkdir(parents=True)
    (tmp_path / "top/closed/file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "other")
    Path(os.fsdecode(os.fsencode(tmp_path / "top") + b"/\xff")).touch()
    (tmp_path / "top/closed").chmod(0o000)
    for _turn in range(2):
        remove_tree(os.fsencode(tmp_path / "top") if bytes_ else str(tmp_path / "top"))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_missing_directory_above_is_no_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "none" / "here"))


@pytest.mark.parametrize("name", ["file", "link"])
def test_file_and_link_are_removed_and_no_target(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    remove_tree(str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"file", "link", "target"} - {name})


def test_tree_deeper_than_a_path_can_be_is_removed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ["top", *["d" * 250] * 40]:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(str(tmp_path / "top"))
    assert list(tmp_path.iterdir()) == []


def exchanged_on(name: str, monkeypatch: pytest.MonkeyPatch, exchange: Callable[[], None]) -> None:
    """Let somebody do something after a name was looked at, and before it is opened."""
    real = os.open

    def open_(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == name:
            exchange()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(removal.os, "open", open_)


def test_link_that_is_put_there_meanwhile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/precious").touch()
    (tmp_path / "top/sub").mkdir(parents=True)

    def exchange() -> None:
        if not (tmp_path / "top/sub").is_symlink():
            (tmp_path / "top/sub").rename(tmp_path / "moved")
            (tmp_path / "top/sub").symlink_to(tmp_path / "victim")

    exchanged_on("sub", monkeypatch, exchange)
    with pytest.raises(OSError, match="sub"):
        remove_tree(str(tmp_path / "top"))
    assert (tmp_path / "victim/precious").exists()


def test_directory_is_closed_for_others_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "top/sub").mkdir(parents=True)
    (tmp_path / "top").chmod(0o777)
    modes: list[int] = []
    exchanged_on("sub", monkeypatch, lambda: modes.append(stat.S_IMODE((tmp_path / "top").stat().st_mode)))
    remove_tree(str(tmp_path / "top"))
    assert modes == [0o700]


@as_root
@pytest.mark.parametrize("foreign", ["top", "top/sub", "top/sub/file", "top/file", "top/link"])
def test_what_belongs_to_another_user_stays_and_is_named(tmp_path: Path, foreign: str) -> None:
    (tmp_path / "top/sub").mkdir(parents=True)
    for name in ("top/sub/file", "top/file", "top/sub/more"):
        (tmp_path / name).touch()
    (tmp_path / "top/link").symlink_to("file")
    os.chown(tmp_path / foreign, NOBODY, NOBODY, follow_symlinks=False)
    everything = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    with pytest.raises(NotOurs, match="belongs to user") as caught:
        remove_tree(str(tmp_path / "top"))
    assert caught.value.filename == str(tmp_path / foreign)
    assert os.path.lexists(tmp_path / foreign)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    below = {path for path in everything if path.startswith(f"{foreign}/")}
    above = {str(path) for path in Path(foreign).parents} - {"."}
    assert left == {foreign} | above | below


@as_root
def test_directory_that_becomes_anothers_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "top/sub").mkdir(parents=True)
    (tmp_path / "top/sub/file").touch()
    exchanged_on("sub", monkeypatch, lambda: os.chown(tmp_path / "top/sub", NOBODY, NOBODY))
    with pytest.raises(PermissionError, match="belongs to another user by now"):
        remove_tree(str(tmp_path / "top"))
    assert (tmp_path / "top/sub/file").exists()

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories are made with their mode, and files are written whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import folders


@pytest.mark.parametrize("mode", [folders.FOR_ALL, folders.PRIVATE])
@pytest.mark.parametrize("umask", [0o077, 0])
def test_folders_have_their_mode_under_any_umask(tmp_path: Path, umask: int, mode: int) -> None:
    old = os.umask(umask)
    try:
        folders.make_folders(str(tmp_path / "a" / "b"), mode)
    finally:
        os.umask(old)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [mode, mode]


def test_written_file_replaces_the_earlier_one(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        folders.write_file(str(tmp_path / "file"), data, 0o600)
    assert (tmp_path / "file").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_errors_name_a_bytes_path_as_text(tmp_path: Path) -> None:
    @folders.names_files
    def fail() -> None:
        raise FileNotFoundError(2, "gone", b"/a/b")

    with pytest.raises(FileNotFoundError) as caught:
        fail()
    assert caught.value.filename == "/a/b"


def test_relative_folders_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders.make_folders("a/b")
    folders.make_folders("c")
    assert (tmp_path / "a/b").is_dir()
    assert (tmp_path / "c").is_dir()

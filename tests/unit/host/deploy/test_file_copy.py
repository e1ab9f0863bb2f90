# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is copied without following links, and never shares what a program can change."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import file_copy


def refuse(number: int) -> Any:
    def call(*_args: Any) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("size", [0, 1, 3 * file_copy.BLOCK + 1])
def test_copy_has_content_mode_and_time(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(os.urandom(size))
    file_copy.copy_file(str(tmp_path / "a"), str(tmp_path / "b"), 0o640, 1_700_000_000_000_000_001)
    found = (tmp_path / "b").stat()
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 1_700_000_000_000_000_001)


@pytest.mark.parametrize("way", ["unknown", "not supported", "nothing copied", "other device"])
def test_bytes_are_copied_where_the_kernel_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    calls = {"not supported": refuse(errno.EOPNOTSUPP), "nothing copied": lambda *_args: 0, "other device": refuse(errno.EXDEV)}
    if way == "unknown":
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    else:
        monkeypatch.setattr(os, "copy_file_range", calls[way], raising=False)
    (tmp_path / "a").write_bytes(b"text" * file_copy.BLOCK)
    file_copy.copy_file(str(tmp_path / "a"), str(tmp_path / "b"), 0o644, 0)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_full_disk_names_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "copy_file_range", refuse(errno.ENOSPC), raising=False)
    (tmp_path / "a").write_text("text")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/b'"):
        file_copy.copy_file(str(tmp_path / "a"), str(tmp_path / "b"), 0o644, 0)


@pytest.mark.parametrize(("size", "read"), [(4, b"text"), (3, None), (5, None)])
def test_only_a_file_of_the_wanted_size_is_read(tmp_path: Path, size: int, read: bytes | None) -> None:
    (tmp_path / "a").write_text("text")
    assert file_copy.read_all(str(tmp_path / "a"), size) == read


def test_what_is_written_to_one_is_not_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    file_copy.copy_file(str(tmp_path / "a"), str(tmp_path / "b"), 0o644, 0)
    with (tmp_path / "a").open("a") as file:
        file.write("more")
    assert ((tmp_path / "b").read_text(), (tmp_path / "b").stat().st_nlink) == ("text", 1)


def test_link_is_not_copied_as_its_target(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        file_copy.copy_file(str(tmp_path / "link"), str(tmp_path / "b"), 0o644, 0)


def test_nothing_is_copied_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        file_copy.copy_file(str(tmp_path / "a"), str(tmp_path / "b"), 0o644, 0)
    assert (tmp_path / "b").read_text() == "b"

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files beneath a directory: through no link, and with the path in every error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import beneath


@pytest.fixture(name="base")
def open_base(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "base" / "a" / "b").mkdir(parents=True)
    (tmp_path / "base" / "a" / "file").write_text("text")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("of a stranger")
    fd = os.open(tmp_path / "base", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_file_is_opened(base: int) -> None:
    fd, found = beneath.open_file(base, ["a", "file"])
    assert (os.read(fd, 9), found.st_size) == (b"text", 4)
    os.close(fd)


def test_folders_are_made_with_their_mode(base: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(beneath.open_folder(base, [b"a", b"new", b"deep"], 0o700))
    finally:
        os.umask(before)
    made = [tmp_path / "base/a/new", tmp_path / "base/a/new/deep"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("link", "target", "names"),
    [
        ("a/link", "../../outside", ["a", "link", "file"]),
        ("link", "a", ["link", "file"]),
        ("a/last", "file", ["a", "last"]),
        ("a/absolute", "/", ["a", "absolute", "etc", "passwd"]),
    ],
)
def test_link_in_the_way_is_named(base: int, tmp_path: Path, link: str, target: str, names: list[str]) -> None:
    (tmp_path / "base" / link).symlink_to(target)
    with pytest.raises(beneath.LinkInTheWay) as caught:
        beneath.open_file(base, names)
    assert caught.value.filename == link


@pytest.mark.parametrize(
    ("names", "kind", "where"),
    [
        (["none", "file"], FileNotFoundError, "none"),
        (["a", "none"], FileNotFoundError, "a/none"),
        (["a", "file", "x"], NotADirectoryError, "a/file"),
        (["a", "b"], OSError, "a/b"),
        (["a", "pipe"], OSError, "a/pipe"),
    ],
)
def test_other_failures_name_the_path(base: int, tmp_path: Path, names: list[str], kind: type[OSError], where: str) -> None:
    os.mkfifo(tmp_path / "base/a/pipe")
    with pytest.raises(kind) as caught:
        beneath.open_file(base, names)
    assert caught.value.filename == where


def test_no_descriptor_is_left(base: int) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0  # noqa: PTH208, PTH112
    for names in (["none", "x"], ["a", "none"], ["a", "b"], ["a", "file", "x"]):
        with pytest.raises(OSError, match=r".*"):
            beneath.open_file(base, names)
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0) == before  # noqa: PTH208, PTH112


def test_status_of_nothing_is_none(base: int) -> None:
    assert beneath.status(base, "none") is None
    assert beneath.status(base, "a") is not None

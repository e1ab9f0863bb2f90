# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that files are fetched to: through no link, whole or not at all, private."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import names
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.destination import Destination, NotAsReported, NotWritten


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(destination: Destination, name: str, data: bytes = b"text", *, executable: bool = False) -> None:
    destination.write(name.split("/"), [data], sha256(data), executable=executable)


@pytest.fixture(name="there")
def open_destination(tmp_path: Path) -> Iterator[Destination]:
    with Destination(str(tmp_path / "to")) as destination:
        yield destination


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
def test_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Destination(str(tmp_path / "new" / "to")) as there:
            write(there, "a/b/plain")
            write(there, "a/program", executable=True)
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o7777 for path in (tmp_path / "new").rglob("*")}
    folders = {"new/to": 0o700, "new/to/a": 0o700, "new/to/a/b": 0o700}
    assert modes == folders | {"new/to/a/b/plain": 0o600, "new/to/a/program": 0o700}


@pytest.mark.parametrize(("apart", "check", "there"), [(True, False, True), (False, False, False), (True, True, False)])
def test_directory_made_for_results_is_no_part_of_a_project(tmp_path: Path, apart: bool, check: bool, there: bool) -> None:
    top = tmp_path / "llm"
    top.mkdir()
    (top / "train.py").touch()
    for _time in range(2):
        with Destination(str(top / "fetched"), check=check, apart=apart) as destination:
            if not check:
                write(destination, "w.npz")
    assert (top / "fetched" / names.RESULTS).exists() == there
    assert ("fetched/w.npz" in select(str(top / "train.py"), str(top)).paths) == (not apart and not check)


def test_directory_that_was_there_is_as_it_was(tmp_path: Path) -> None:
    with Destination(str(tmp_path), apart=True) as destination:
        write(destination, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_written_file_is_there(there: Destination) -> None:
    assert not there.exists(["a", "b"])
    write(there, "a/b", b"1")
    write(there, "a/b", b"22")
    assert Path(there.path, "a/b").read_bytes() == b"22"
    assert there.exists(["a", "b"])
    assert there.has(["a", "b"], 2, sha256(b"22"))
    assert not there.has(["a", "b"], 2, sha256(b"11"))
    assert not there.has(["a", "b"], 1, sha256(b"22"))


@pytest.mark.parametrize("name", ["link/keys", "deep/link/keys"])
def test_link_on_the_way_is_refused_and_named(there: Destination, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = Path(there.path, name).parent
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(NotWritten, match=f"cannot write {there.path}/{name} here: {link}: is a link"):
        write(there, name)
    assert list(outside.iterdir()) == []
    assert not there.has(name.split("/"), 0, sha256(b""))


def test_link_with_the_file_s_name_is_replaced_not_followed(there: Destination, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("mine")
    Path(there.path, "keys").symlink_to(keys)
    assert not there.has(["keys"], 4, sha256(b"mine"))
    write(there, "keys", b"of a host")
    assert keys.read_text() == "mine"
    assert Path(there.path, "keys").read_text() == "of a host"
    assert not Path(there.path, "keys").is_symlink()


def test_hard_link_is_not_written_through(there: Destination, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    os.link(tmp_path / "mine", Path(there.path, "w"))
    write(there, "w", b"of a host")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(("name", "why"), [("folder", "folder here: Is a directory"), ("file/x", "file/x here: .*/file: Not a directory")])
def test_obstacle_is_named(there: Destination, name: str, why: str) -> None:
    Path(there.path, "folder").mkdir()
    Path(there.path, "file").touch()
    with pytest.raises(NotWritten, match=f"cannot write {there.path}/{why}"):
        write(there, name)
    assert sorted(os.listdir(there.path)) == ["file", "folder"]  # noqa: PTH208


def test_content_that_was_not_announced_is_not_there(there: Destination) -> None:
    write(there, "w", b"old")
    with pytest.raises(NotAsReported):
        there.write(["w"], [b"new"], sha256(b"other"), executable=False)
    assert os.listdir(there.path) == ["w"]  # noqa: PTH208
    assert Path(there.path, "w").read_bytes() == b"old"


def test_interrupted_file_leaves_nothing(there: Destination) -> None:
    def content() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.write(["a", "w"], content(), sha256(b"half"), executable=False)
    assert list(Path(there.path, "a").iterdir()) == []


def test_two_names_of_one_file_are_refused(there: Destination) -> None:
    # As on a disk that ignores case: the second name is that of the file that the first has just got.
    write(there, "model.npz", b"1")
    os.rename(Path(there.path, "model.npz"), Path(there.path, "Model.npz"))  # noqa: PTH104
    with pytest.raises(NotWritten, match="two files would be one in .*: model.npz and Model.npz"):
        write(there, "Model.npz", b"2")


def test_check_mode_makes_nothing(tmp_path: Path) -> None:
    with Destination(str(tmp_path / "to"), check=True) as there:
        assert not there.exists(["w"])
        assert not there.has(["w"], 0, sha256(b""))
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten, match=f"cannot write to {tmp_path}/file/to here: Not a directory"), Destination(f"{tmp_path}/file/to"):
        pass


def test_free_bytes_are_those_of_the_disk(there: Destination) -> None:
    assert there.free > 0

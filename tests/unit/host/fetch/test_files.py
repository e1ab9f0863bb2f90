# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on a host: found by name and glob, without leaving the directory, and read in pieces."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch import files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.local_agent import LocalAgent


@pytest.fixture(name="job")
def make_job(tmp_path: Path) -> Path:
    job = tmp_path / "job"
    for name in (
        "w.npz",
        "out/a.txt",
        "out/deep/b.txt",
        "out/.hidden",
        "out/.git/config",
        "runs/1/m.npz",
        "runs/2/m.npz",
        "runs/2/x/m.npz",
    ):
        path = job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "secret").write_text("secret")
    os.mkfifo(job / "out" / "pipe")
    return job


def find(folder: Path, pattern: str, bounds: str = "") -> list[str]:
    with files.Folder(str(folder), bounds) as found:
        return found.find(pattern.split("/"))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("w.npz", ["w.npz"]),
        ("out/**", ["out/a.txt", "out/deep/b.txt"]),
        ("out/*", ["out/a.txt"]),
        ("out/.h*", ["out/.hidden"]),
        ("runs/*/m.npz", ["runs/1/m.npz", "runs/2/m.npz"]),
        ("**/m.npz", ["runs/1/m.npz", "runs/2/m.npz", "runs/2/x/m.npz"]),
        ("out/**/.git/*", ["out/.git/config"]),
    ],
)
def test_names_and_globs_find_regular_files(job: Path, pattern: str, names: list[str]) -> None:
    assert find(job, pattern) == names


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "..", "/"])
def test_glob_follows_no_link(job: Path, target: str) -> None:
    (job / "out" / "link").symlink_to(target if target.startswith("/") else f"../{target}")
    assert find(job, "out/**") == ["out/a.txt", "out/deep/b.txt"]


def test_name_may_be_that_of_a_link_inside(job: Path) -> None:
    (job / "latest").symlink_to("runs/2/m.npz")
    assert find(job, "latest") == ["latest"]
    with files.Folder(str(job), "") as found:
        assert files.read(found, "latest", 0, 100) == b"runs/2/m.npz"


def test_folder_may_be_a_link_within_its_bounds(job: Path) -> None:
    (job / "runs" / "last").symlink_to("2")
    assert find(job / "runs" / "last", "*.npz", str(job)) == ["m.npz"]


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd"])
def test_link_that_leads_out_is_refused_with_its_target(job: Path, target: str) -> None:
    (job / "latest").symlink_to(target)
    with pytest.raises(CallFailed, match=rf"{job}/latest leads by a link to /.*, which is outside of {job}; ask for that path"):
        find(job, "latest")


def test_folder_that_leads_out_is_refused(job: Path) -> None:
    (job / "etc").symlink_to("/etc")
    with pytest.raises(CallFailed, match=f"{job}/etc leads by a link to /etc, which is outside of {job}"):
        find(job / "etc", "*", str(job))


@pytest.mark.parametrize(
    ("folder", "pattern", "why"),
    [
        ("", "none.npz", "{job}/none.npz is not there"),
        ("", "*.safetensors", "{job}/*.safetensors matches no file"),
        ("", "out", "{job}/out is not a file; a directory is fetched as {job}/out/**"),
        ("none", "*.npz", "{job}/none is not there"),
        ("w.npz", "*", "cannot read {job}/w.npz: Not a directory"),
        ("out", "pipe", "cannot read {job}/out/pipe: is not a regular file"),
    ],
)
def test_missing_files_are_named(job: Path, folder: str, pattern: str, why: str) -> None:
    with pytest.raises(CallFailed) as caught:
        find(job / folder if folder else job, pattern, str(job))
    assert str(caught.value) == why.format(job=job)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_directory_that_cannot_be_read_is_an_error(job: Path) -> None:
    (job / "out" / "deep").chmod(0)
    with pytest.raises(CallFailed, match=f"cannot read {job}/out/deep: Permission denied"):
        find(job, "out/**")


def test_too_many_files_are_an_error(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.patterns, "MOST", 1)
    with pytest.raises(CallFailed, match=r"out/\*\* matches more than 1 files"):
        find(job, "out/**")


def test_description_has_size_mode_and_digest(job: Path) -> None:
    (job / "w.npz").chmod(0o4755)
    with files.Folder(str(job), "") as found:
        assert files.describe(LocalAgent(), found, "w.npz") == ["w.npz", 5, True, hashlib.sha256(b"w.npz").hexdigest()]


def test_pieces_end_where_the_file_ends(job: Path) -> None:
    with files.Folder(str(job), "") as found:
        assert [files.read(found, "w.npz", offset, 3) for offset in (0, 3, 6)] == [b"w.n", b"pz", b""]


def test_names_that_are_no_text_come_and_go(job: Path) -> None:
    (Path(os.fsdecode(os.fsencode(job) + b"/out/deep/\xff"))).write_text("odd")
    [name, *_] = [name for name in find(job, "out/deep/*") if "b.txt" not in name]
    assert name == "out/deep/\udcff"
    with files.Folder(str(job), "") as found:
        assert files.read(found, name, 0, 9) == b"odd"

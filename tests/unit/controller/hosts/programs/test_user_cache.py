"""Files in the user's cache are this user's, and are never needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.programs.user_cache import cache_file, keep, read_own
from tests.support.users import NOBODY, ONLY_ROOT


def test_file_is_where_the_system_has_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file("programs", "/x", ".bin").parent == tmp_path / "xdg/mlxlaunch/programs"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_file("programs", "/x", ".bin").parent == tmp_path / ".cache/mlxlaunch/programs"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_file("programs", "/x", ".bin").parent == tmp_path / "Library/Caches/mlxlaunch/programs"


def test_kept_file_is_read_again_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    keep(path, b"data")
    assert read_own(path) == b"data"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_file_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    keep(path, b"data")
    path.chmod(0o620)
    assert read_own(path) == b""


@ONLY_ROOT
def test_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    keep(path, b"data")
    os.chown(path, NOBODY, NOBODY)
    assert read_own(path) == b""


def test_cache_that_cannot_be_used_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    keep(tmp_path / "file" / "b.bin", b"data")
    assert read_own(tmp_path / "file" / "b.bin") == b""
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "none")
    keep(cache_file("programs", "/x", ".bin"), b"data")
    assert read_own(cache_file("programs", "/x", ".bin")) == b""

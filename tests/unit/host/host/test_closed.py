# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that another user has closed is named with its owner, and with the setting that opens it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import closed_folder, user


@pytest.mark.parametrize("name", ["", "open", "open/file", "none", "open/file/none"])
def test_open_and_missing_directories_are_not_closed(tmp_path: Path, name: str) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open/file").touch()
    assert closed_folder(str(tmp_path / name)) == ""


@pytest.mark.parametrize("name", ["closed", "closed/x", "closed/x/y"])
def test_first_closed_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "closed/x").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _mode: not path.startswith(str(tmp_path / "closed")))  # root may enter all
    text = f"{tmp_path}/closed is closed: it belongs to {user(os.getuid())}; "
    assert closed_folder(str(tmp_path / name)) == f"{text}deploy there with mlx_share: world (--share world), or become that user"


def test_user_without_a_name_has_a_number() -> None:
    assert user(0) == "user root"
    assert user(4_000_000_000) == "user 4000000000"

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a fetch."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.local_agent import LocalHost


def test_found_files_are_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"\0\xffdata")
    host, where = LocalHost(FUNCTIONS), {"folder": str(tmp_path), "bounds": ""}
    [[name, size, executable, _sha256]] = host.call("fetch_find", lease=7.0, **where, pattern=["*"])
    assert (name, size, executable, host.lease) == ("w", 6, False, 7.0)
    texts = host.call("fetch_read", **where, pieces=[["w", 0, 2], ["w", 2, 4]])
    assert [base64.b64decode(text) for text in texts] == [b"\0\xff", b"data"]


def test_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match=f"{tmp_path}/w is not there"):
        LocalHost(FUNCTIONS).call("fetch_read", folder=str(tmp_path), bounds="", pieces=[["w", 0, 2]])

"""Steps: what they do, and what a person does instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run, Write, read_file
from tests.unit.host.prepare.programs import host

SIP = "Could not set resource limits: 150: Operation not permitted while System Integrity Protection is engaged\n"


@pytest.mark.parametrize(
    ("answer", "reason", "deferred"),
    [
        ((0, ""), "", False),
        ((1, "no\n"), "launchctl: no", False),
        ((150, SIP), "", True),
        ((1, "Could not set resource limits: 1: no"), None, False),
    ],
)
def test_limit_that_only_a_start_can_set_is_no_failure(answer: tuple[int, str], reason: str | None, deferred: bool) -> None:
    step = Run("launchctl", "limit")
    found = step.perform(host({"launchctl limit": answer}))
    assert found == reason or (reason is None and found)
    assert step.deferred is deferred


def test_file_is_written_and_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "x.conf")
    assert read_file(path) == b""
    assert Write(path, "text", [["by", "hand"]]).perform(host()) == ""
    assert read_file(path) == b"text"
    away = Write(path, "", [["by", "hand"]])
    assert away.commands == [["rm", path]]
    assert away.perform(host()) == ""
    assert away.perform(host()) == f"{path}: No such file or directory"


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "No such file or directory" in Write(str(tmp_path / "no/x"), "text", []).perform(host())

"""The calls about a preparation, as the agent serves them to a user who may only look."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.work import FAILED, NOT_HERE, RIGHT, WOULD
from tests.unit.local_agent import LocalHost


def test_linux_machine_answers_for_each_item(tmp_path: Path) -> None:
    found = LocalHost(FUNCTIONS).call(
        "prepare", wishes={"sleep": True, "open_files": 256, "linger": True}, trial=True, python="", folder=str(tmp_path)
    )
    assert found["system"] == "Linux"
    assert [row["name"] for row in found["items"]] == ["sleep", "open_files", "linger"]
    assert found["items"][0]["state"] == NOT_HERE
    assert found["items"][0]["text"] == "for Macs; this is Linux"
    assert all(row["state"] in (RIGHT, WOULD, NOT_HERE, FAILED) for row in found["items"])


def test_nothing_recorded_is_nothing_to_take_back(tmp_path: Path) -> None:
    assert LocalHost(FUNCTIONS).call("undo_prepare", trial=True, folder=str(tmp_path))["items"] == []

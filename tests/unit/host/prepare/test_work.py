"""The work on items: recorded before, done once, read again, and taken back. The tests of the lab do it with the real ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import work
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.host.prepare.programs import Scripted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the record is root's")


class Step:
    """A step that sets one setting."""

    def __init__(self, item: Item, key: str, value: str) -> None:
        self.commands = [["set", key, value]]
        self.deferred = False
        self._item = item

    def perform(self, _host: Any) -> str:
        self._item.recorded_first = self._item.record.exists()
        if self._item.failing:
            return "set: no"
        if not self._item.deaf:
            self._item.settings[self.commands[0][1]] = self.commands[0][2]
        return ""


class Item:
    """Settings a and b, which are to be 1.

    Attributes:
        failing: its steps fail.
        deaf: its steps do nothing, and end well.
        recorded_first: whether the record was there when a step began.
    """

    def __init__(self, record: Path) -> None:
        self.settings = {"a": "0", "b": "7"}
        self.failing = self.deaf = self.recorded_first = False
        self.record = record

    def read(self, _host: Any, _keys: Any = None) -> dict[str, str]:
        return dict(self.settings)

    def wanted(self, _host: Any, now: Mapping[str, str], value: Any) -> dict[str, str]:
        if value == "too much":
            raise CallFailed("too much")
        if value == "nowhere":
            raise NotHere("nowhere")
        return dict.fromkeys(now, str(value))

    def steps(self, _host: Any, now: Mapping[str, str], wanted: Mapping[str, str]) -> list[Step]:
        return [Step(self, key, wanted[key]) for key in now if now[key] != wanted[key]]

    def describe(self, _host: Any, settings: Mapping[str, str]) -> str:
        return " ".join(f"{key}={value}" for key, value in settings.items())


class Stage:
    """One host with one item."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "prepare.json"
        self.item = Item(self.record)

    def prepare(self, value: Any = 1, *, trial: bool = False) -> dict[str, Any]:
        (row,) = work.prepare(Scripted(), {"sleep": value}, trial, "", str(self.folder))["items"]
        return dict(row)

    def undo(self, *, trial: bool = False) -> list[dict[str, Any]]:
        return list(work.undo(Scripted(), trial, str(self.folder))["items"])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = Stage(tmp_path / "records")
    monkeypatch.setattr(work, "ITEMS", {system: {"sleep": found.item} for system in ("Darwin", "Linux")})
    return found


def test_item_is_recorded_first_changed_once_and_taken_back(stage: Stage) -> None:
    row = stage.prepare()
    assert (row["state"], row["before"], row["after"]) == ("changed", "a=0 b=7", "a=1 b=1")
    assert row["commands"] == [["set", "a", "1"], ["set", "b", "1"]]
    assert stage.item.recorded_first
    assert stage.prepare()["state"] == "right"
    (back,) = stage.undo()
    assert (back["state"], stage.item.settings, stage.record.exists()) == ("changed", {"a": "0", "b": "7"}, False)
    assert stage.undo() == []


def test_trial_changes_nothing_and_tells_the_same(stage: Stage) -> None:
    told = stage.prepare(trial=True)
    assert (told["state"], stage.item.settings, stage.folder.exists()) == ("would change", {"a": "0", "b": "7"}, False)
    assert stage.prepare()["commands"] == told["commands"]
    assert stage.undo(trial=True)[0]["state"] == "would change"
    assert stage.item.settings == {"a": "1", "b": "1"}


def test_plain_user_is_told_what_to_do_by_hand(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.prepare()
    stage.item.settings["a"] = "0"
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert (stage.prepare()["state"], stage.prepare()["commands"]) == ("by hand", [["set", "a", "1"]])
    assert stage.undo()[0]["state"] == "by hand"
    assert stage.item.settings["a"] == "0"


def test_oldest_settings_are_those_to_go_back_to(stage: Stage) -> None:
    for value in (1, 2, 3):
        stage.prepare(value)
    stage.undo()
    assert stage.item.settings == {"a": "0", "b": "7"}


def test_apply_that_broke_off_is_taken_back(stage: Stage) -> None:
    stage.item.failing = True
    row = stage.prepare()
    assert (row["state"], row["text"]) == ("failed", "set: no; mlxlaunch prepare --undo takes back what was done")
    stage.item.settings["a"] = "1"  # it came as far as that
    stage.item.failing = False
    stage.undo()
    assert stage.item.settings == {"a": "0", "b": "7"}


def test_setting_of_somebody_else_is_left_alone_and_told(stage: Stage) -> None:
    stage.prepare()
    stage.item.settings["b"] = "5"
    (row,) = stage.undo()
    assert (row["state"], row["text"]) == ("changed", "b was changed by somebody else since, and is left alone")
    assert stage.item.settings == {"a": "0", "b": "5"}
    assert not stage.record.exists()


def test_program_that_only_says_that_it_is_done_is_found_out(stage: Stage) -> None:
    stage.item.deaf = True
    assert stage.prepare()["text"].startswith("it was told to change, and is still a=0 b=7; ")


def test_undo_that_fails_stays_in_the_record(stage: Stage) -> None:
    stage.prepare()
    stage.item.failing = True
    assert stage.undo()[0]["state"] == "failed"
    stage.item.failing = False
    assert stage.undo()[0]["state"] == "changed"


@pytest.mark.parametrize(("value", "state"), [("too much", "failed"), ("nowhere", "not here")])
def test_what_cannot_be_had_is_told_and_not_recorded(stage: Stage, value: str, state: str) -> None:
    assert [stage.prepare(value, trial=trial)["state"] for trial in (True, False)] == [state, state]
    assert not stage.record.exists()


def test_item_of_another_version_stays_in_the_record(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.prepare()
    monkeypatch.setattr(work, "ITEMS", {"Darwin": {}, "Linux": {}})
    assert "another version of mlxlaunch has set it" in stage.undo()[0]["text"]
    assert list(json.loads(stage.record.read_text())["items"]) == ["sleep"]


def test_change_that_waits_for_a_restart_is_made_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(step: Step, _host: Any) -> str:
        step.deferred = True
        return ""

    monkeypatch.setattr(Step, "perform", perform)
    row = stage.prepare()
    assert (row["state"], row["text"]) == ("changed", work._AT_START)
    # Steps of other programs than launchctl limit are not said to wait.
    assert stage.prepare(trial=True)["state"] == "would change"
    monkeypatch.setattr(Item, "steps", lambda *_given: [type("Limit", (), {"commands": [["launchctl", "limit", "x"]]})()])
    assert (stage.prepare(trial=True)["state"], stage.prepare(trial=True)["text"]) == ("right", work._AT_START)

"""The record of what was there before: whole, for root alone to write, and one program at a time has it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.record import Record, write_lastingly
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the record is root's")

ENTRY = {"before": {"x": "1"}, "set": {"x": ["0"]}}


def record(folder: Path) -> Record:
    return Record(str(folder / "of root/mlxlaunch"), "prepare", "items", "set it back by hand")


def file_of(folder: Path) -> Path:
    return folder / "of root/mlxlaunch/prepare.json"


def test_entry_is_there_for_the_next_one_until_it_is_forgotten(tmp_path: Path) -> None:
    assert record(tmp_path).read().entries == {}
    with record(tmp_path) as first:
        first.put("sleep", ENTRY)
    with record(tmp_path) as second:
        assert second.entries == {"sleep": ENTRY}
        second.forget("sleep")
    assert not file_of(tmp_path).exists()


def test_second_program_is_refused_while_one_has_it(tmp_path: Path) -> None:
    with record(tmp_path), pytest.raises(CallFailed, match="another mlxlaunch changes this host just now"), record(tmp_path):
        pass
    with record(tmp_path):
        pass


def test_record_is_for_all_to_read(tmp_path: Path) -> None:
    with record(tmp_path) as one:
        one.put("sleep", ENTRY)
    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o644
    assert file_of(tmp_path).parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (lambda path: path.chmod(0o666), "is not root's alone"),
        (lambda path: os.chown(path, 1000, 0), "is not root's alone"),
        (lambda path: path.parent.chmod(0o777), "is not root's alone"),
        (lambda path: path.write_text("{"), "is damaged; set it back by hand, then remove it"),
        (lambda path: path.write_text("[]"), "is damaged"),
        (lambda path: path.write_text(json.dumps({"format": 1})), "is damaged"),
        (lambda path: path.write_text(json.dumps({"format": 1, "items": []})), "is damaged"),
        (lambda path: path.write_text(json.dumps({"format": 1, "items": {"sleep": 1}})), "is damaged"),
        (lambda path: path.write_text(json.dumps({"format": 1, "items": {"sleep": {"before": {}}}})), "is damaged"),
        (lambda path: path.write_text(json.dumps({"format": 2, "items": {}})), "has format 2, and this version reads 1"),
    ],
)
def test_record_that_another_may_have_written_is_not_used(tmp_path: Path, break_it: Any, text: str) -> None:
    with record(tmp_path) as one:
        one.put("sleep", ENTRY)
    break_it(file_of(tmp_path))
    with pytest.raises(CallFailed, match=text):
        record(tmp_path).read()
    with pytest.raises(CallFailed, match=text), record(tmp_path):
        pass


def test_plain_user_gets_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    with pytest.raises(CallFailed, match="this needs root"), record(tmp_path):
        pass


def test_file_is_replaced_as_a_whole_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "file").symlink_to("other")
    write_lastingly(str(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "other").read_text() == "other"

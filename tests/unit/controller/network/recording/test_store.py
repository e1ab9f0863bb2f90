"""Recordings on disk: written whole, and read as a stranger's data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording import store
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import read_recording, write_recording
from tests.unit.macs import ring


def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    write_recording(
        str(path), {"host1": HostAnswers("Darwin", {"ifconfig.txt": "en0"}, {"routes.txt": "gone"}), "host2": HostAnswers(failure="off")}
    )
    return path


def test_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    answers = ring(3).answers() | {"x": HostAnswers(failure="no answer")}
    path = tmp_path / "recording"
    write_recording(str(path), answers)
    assert read_recording(str(path)) == answers
    assert list(tmp_path.iterdir()) == [path]


def test_recording_written_by_hand_is_read(tmp_path: Path) -> None:
    (tmp_path / "mac").mkdir()
    (tmp_path / "recording.json").write_text('{"format": 1, "hosts": ["mac"]}')
    (tmp_path / "mac/host.json").write_text('{"format": 1, "system": "Darwin"}')
    (tmp_path / "mac/routes.txt").write_text("default\n")
    (tmp_path / "mac/.DS_Store").write_bytes(b"\xff")
    assert read_recording(str(tmp_path)) == {"mac": HostAnswers("Darwin", {"routes.txt": "default\n"})}


def test_empty_directory_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "recording").mkdir()
    recorded(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"), [("here", "it is there already"), ("no/such", "there is no directory"), ("file", "it is there already")]
)
def test_recording_replaces_nothing(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine").touch()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=text):
        write_recording(str(tmp_path / name), {})
    assert (tmp_path / "here/mine").exists()


def newer(path: Path) -> None:
    (path / "recording.json").write_text('{"format": 2, "hosts": ["host1"]}')


def no_json(path: Path) -> None:
    (path / "recording.json").write_text("{")


def deep(path: Path) -> None:
    (path / "host1/host.json").write_text("[" * 100_000)


def escapes(path: Path) -> None:
    (path / "recording.json").write_text('{"format": 1, "hosts": ["../recording/host1"]}')


def twice(path: Path) -> None:
    (path / "recording.json").write_text('{"format": 1, "hosts": ["host1", "host1"]}')


def many(path: Path) -> None:
    (path / "recording.json").write_text(json.dumps({"format": 1, "hosts": [f"h{at}" for at in range(65)]}))


def none(path: Path) -> None:
    (path / "recording.json").write_text('{"format": 1, "hosts": []}')


def a_list(path: Path) -> None:
    (path / "recording.json").write_text("[]")


def no_host(path: Path) -> None:
    (path / "recording.json").write_text('{"format": 1, "hosts": ["host7"]}')


def link(path: Path) -> None:
    (path / "host1/routes.txt").symlink_to("/etc/passwd")


def linked_host(path: Path) -> None:
    (path / "host1").rename(path / "other")
    (path / "host1").symlink_to(path / "other")


def pipe(path: Path) -> None:
    os.mkfifo(path / "host1/routes.txt")


def folder(path: Path) -> None:
    (path / "host1/routes.txt").mkdir()


def odd_name(path: Path) -> None:
    (path / "host1/run.sh").write_text("reboot")


def name_with_a_line_break(path: Path) -> None:
    (path / "host1/x\n.txt").symlink_to("/etc/passwd")


def other_system(path: Path) -> None:
    (path / "host1/host.json").write_text('{"format": 1, "system": "BeOS"}')


def host_is_a_list(path: Path) -> None:
    (path / "host1/host.json").write_text("[]")


def too_many_answers(path: Path) -> None:
    for at in range(70):
        (path / f"host1/x{at}.txt").touch()


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (newer, "format 2: this version reads format 1; a newer mlxlaunch has made it"),
    (no_json, "recording.json: not JSON"),
    (deep, "host.json: not JSON"),
    (escapes, "want letters, digits, dots, dashes and underscores"),
    (twice, "a name stands in it twice"),
    (many, "want a list of 1 to 64 names"),
    (none, "want a list of 1 to 64 names"),
    (a_list, "recording.json: want an object"),
    (no_host, "host7: there is no such directory"),
    (link, "routes.txt: cannot be read"),
    (linked_host, "host1: there is no such directory"),
    (pipe, "routes.txt: is no regular file"),
    (folder, "routes.txt: is no regular file"),
    (odd_name, "'run.sh' is no name of an answer"),
    (name_with_a_line_break, "is no name of an answer"),
    (other_system, "system 'BeOS'"),
    (host_is_a_list, "host.json: want an object"),
    (too_many_answers, "want at most 64 answers"),
]


@pytest.mark.parametrize(("damage", "text"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_recording_that_does_not_fit_is_one_line(tmp_path: Path, damage: Callable[[Path], None], text: str) -> None:
    path = recorded(tmp_path)
    damage(path)
    with pytest.raises(UsageError) as caught:
        read_recording(str(path))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_answer_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_CHARACTERS", 1)
    with pytest.raises(UsageError, match="is longer than"):
        read_recording(str(recorded(tmp_path)))


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--replay .*none: there is no such directory"):
        read_recording(str(tmp_path / "none"))


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_recording(str(tmp_path / "recording"), {"host1": HostAnswers("Darwin", {"x" * 300: ""})})
    assert list(tmp_path.iterdir()) == []

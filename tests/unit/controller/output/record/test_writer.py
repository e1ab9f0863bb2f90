"""Writing a record for as long as it takes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.offsets import ACK_EVERY
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record import syncer as syncer_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record import writer as writer_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.files import RecordFiles
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.writer import EVENTS, Item, Mark, RecordWriter, log_name
from tests.support.waiting import wait_until
from tests.unit.controller.output.disks import limited
from tests.unit.readers import Woken, event, output

LOG = log_name(0, "stdout")


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordWriter]:
    monkeypatch.setattr(writer_module, "_RETRY", 0.02)
    made = RecordWriter(RecordFiles(tmp_path), Woken())
    yield made
    made.close(0.0)


def written(writer: RecordWriter) -> None:
    assert writer.wait(30)


def test_items_are_written_in_their_order(writer: RecordWriter, tmp_path: Path) -> None:
    writer.put(Item(event("rank_started", rank=0), logs=[LOG]))
    writer.put(Item(output(0), b"one "))
    writer.put(Item(output(0, offset=4), b"two"))
    writer.put(Item(event("warning", text="x")))
    writer.put(Item(name="job.json", content=b"{}"))
    written(writer)
    lines = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert [line["event"] for line in lines] == ["rank_started", "rank_output", "warning"]
    assert (lines[1]["offset"], lines[1]["length"]) == (0, 7)
    assert (tmp_path / LOG).read_bytes() == b"one two"
    assert (tmp_path / "job.json").read_bytes() == b"{}"


def test_full_disk_is_waited_for_and_nothing_is_torn(writer: RecordWriter, tmp_path: Path) -> None:
    with limited(2500):
        for at in range(0, 3000, 500):
            writer.put(Item(output(0, offset=at), b"%03d," % (at // 500) * 125))
        writer.put(Item(event("warning", text="later")))
        wait_until(lambda: writer.trouble is not None, "the disk is full")
        assert writer.trouble
        assert (writer.trouble.name, writer.given_up.is_set()) == (LOG, False)
        assert (tmp_path / LOG).stat().st_size in range(0, 2501, 500)
    written(writer)
    assert writer.trouble is None
    assert (tmp_path / LOG).read_bytes() == b"".join(b"%03d," % at * 125 for at in range(6))
    lines = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert sum(line["length"] for line in lines[:-1]) == 3000
    assert lines[-1]["text"] == "later"


def test_offsets_in_events_are_places_in_the_log(writer: RecordWriter, tmp_path: Path) -> None:
    """Also behind bytes that are lost: those never came."""
    writer.put(Item(output(0, offset=0), b"abc"))
    writer.put(Item(event("warning", text="100 bytes are lost")))
    writer.put(Item(output(0, offset=103), b"de"))
    writer.put(Item(mark=Mark()))
    written(writer)
    lines = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert [(line["offset"], line["length"]) for line in lines if line["event"] == "rank_output"] == [(0, 3), (3, 2)]
    assert (writer.streams[0, "stdout"].written, writer.streams[0, "stdout"].given) == (105, 105)


def test_only_what_is_on_the_disk_is_safe(writer: RecordWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    monkeypatch.setattr(syncer_module, "_SYNC", lambda fd: synced.set() or os.fsync(fd))
    writer.put(Item(output(0), bytes(ACK_EVERY - 1)))
    written(writer)
    assert (list(writer.safe), synced.is_set()) == ([], False)
    writer.put(Item(output(0, offset=ACK_EVERY - 1), b"x"))
    written(writer)
    assert (list(writer.safe), synced.is_set(), writer.streams[0, "stdout"].safe) == ([(0, "stdout")], True, ACK_EVERY)


def test_disk_that_refuses_late_makes_nothing_safe(writer: RecordWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network file system with a quota does."""

    def refuse(_fd: int) -> None:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(syncer_module, "_SYNC", refuse)
    writer.put(Item(output(0), bytes(ACK_EVERY)))
    written(writer)
    assert list(writer.safe) == []
    assert writer.streams[0, "stdout"].unsafe


def test_mark_gets_the_place_after_all_before_it(writer: RecordWriter, tmp_path: Path) -> None:
    mark = Mark()
    writer.put(Item(event("warning", text="x")))
    writer.put(Item(output(0), b"abc"))
    writer.put(Item(mark=mark))
    written(writer)
    assert mark.position == (tmp_path / EVENTS).stat().st_size
    assert (tmp_path / EVENTS).read_text().count("\n") == 2


def test_writer_that_gave_up_takes_everything_and_writes_nothing(writer: RecordWriter) -> None:
    with limited(100):
        writer.put(Item(output(0), bytes(200)))
        wait_until(lambda: writer.trouble is not None, "the disk is full")
        writer.give_up()
        mark = Mark()
        writer.put(Item(output(0, offset=200), bytes(10)))
        writer.put(Item(mark=mark))
        assert writer.wait(0)
    assert (writer.streams[0, "stdout"].written, writer.streams[0, "stdout"].given, mark.position) == (0, 210, 0)


def test_closing_writes_the_lines_that_are_left(writer: RecordWriter, tmp_path: Path) -> None:
    writer.put(Item(output(0), b"abc"))
    writer.close(30.0)
    assert json.loads((tmp_path / EVENTS).read_text())["length"] == 3


def test_writer_that_was_given_nothing_has_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    writer = RecordWriter(RecordFiles(tmp_path), Woken())
    assert threading.active_count() == before
    writer.close(0.0)

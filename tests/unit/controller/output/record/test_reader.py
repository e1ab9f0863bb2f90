"""Reading a record back while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.reader import Piece, RecordReader
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import RunDir
from tests.support.waiting import wait_until
from tests.unit.readers import Woken, event, output


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[RunDir]:
    made = RunDir(tmp_path / "j1")
    yield made
    made.close()


def here(run_dir: RunDir) -> int:
    """Return the place that a record has come to, once it is written up to there."""
    mark = run_dir.mark()
    wait_until(lambda: mark.position is not None, "everything is written")
    assert mark.position is not None
    return mark.position


def taken(reader: RecordReader, goal: int) -> list[Piece]:
    """Take everything up to a place."""
    pieces: list[Piece] = []

    def all_taken() -> bool:
        while piece := reader.take():
            pieces.append(piece)
        return reader.end >= goal or reader.failed is not None

    wait_until(all_taken, "everything is taken")
    return pieces


def test_part_of_a_record_is_read_back(run_dir: RunDir) -> None:
    run_dir.event(event("warning", text="before"))
    run_dir.output(output(0), b"before")
    begin = here(run_dir)
    run_dir.output(output(0, offset=6), b"one\n")
    run_dir.output(output(1, "stderr"), b"two\n")
    run_dir.event(event("warning", text="and then"))
    goal = here(run_dir)
    run_dir.output(output(0, offset=10), b"after")
    reader = RecordReader(run_dir.path, begin, Woken())
    reader.allow(goal)
    pieces = taken(reader, goal)
    reader.close()
    assert [(each.event, each.rank, payload) for each, payload in pieces] == [
        ("rank_output", 0, b"one\n"),
        ("rank_output", 1, b"two\n"),
        ("warning", None, b""),
    ]
    assert pieces[0][0].details == {"stream": "stdout", "offset": 6, "length": 4}


def test_much_output_is_read_piece_by_piece(run_dir: RunDir) -> None:
    data = bytes(range(256)) * 40_000
    run_dir.output(output(0), data)
    goal = here(run_dir)
    reader = RecordReader(run_dir.path, 0, Woken())
    reader.allow(goal)
    pieces = taken(reader, goal)
    reader.close()
    assert b"".join(payload for _event, payload in pieces) == data
    assert max(len(payload) for _event, payload in pieces) <= 256 * 1024
    assert [each.details["offset"] for each, _payload in pieces] == [at * 256 * 1024 for at in range(len(pieces))]


def test_reading_does_not_run_ahead_of_whoever_takes(run_dir: RunDir) -> None:
    run_dir.output(output(0), bytes(20_000_000))
    goal = here(run_dir)
    reader = RecordReader(run_dir.path, 0, Woken())
    reader.allow(goal)
    wait_until(lambda: reader._size >= 1024 * 1024, "something was read")
    assert reader._size <= 1024 * 1024 + 256 * 1024
    reader.close()


def test_record_that_somebody_has_removed_ends_the_reading(run_dir: RunDir) -> None:
    run_dir.output(output(0), b"abc")
    goal = here(run_dir)
    run_dir.log(0, "stdout").unlink()
    reader = RecordReader(run_dir.path, 0, Woken())
    reader.allow(goal)
    assert taken(reader, goal) == []
    assert reader.failed
    reader.close()

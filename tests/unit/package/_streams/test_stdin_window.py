"""What a program writes goes to the ranks it means, as far as there is room, and to nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._streams.stdin_window import StdinSender

PATIENCE = 60.0


class Job:
    """Where frames arrive, decoded: (kind, rank, payload)."""

    def __init__(self, ranks: list[int], room: int | None = 10, tty: bool = False) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.arrived = threading.Event()
        self.stdin = StdinSender(self._take)
        self.stdin.on_readers(ranks, tty)
        for rank in ranks if room is not None else ():
            self.stdin.on_credit(rank, room or 0)

    def _take(self, data: bytes) -> None:
        self.frames += [(frame.kind, frame.rank, frame.payload) for frame in wire.Decoder().feed(data)]
        self.arrived.set()


def later(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start something that waits; its result stands in the list when the thread has ended."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    return thread, results


def ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


def test_bytes_for_all_are_sent_once() -> None:
    job = Job([0, 1, 2])
    assert job.stdin.write(b"hello", None)
    assert job.frames == [(wire.STDIN, wire.EVERY_RANK, b"hello")]


def test_text_is_refused_as_it_has_no_encoding() -> None:
    with pytest.raises(TypeError, match="^write: want bytes, not text; encode it first$"):
        Job([0]).stdin.write("hello", None)  # type: ignore[arg-type]


def test_bytes_for_one_are_for_it_alone() -> None:
    job = Job([0, 1, 2])
    assert job.stdin.write(memoryview(b"hello"), 1)  # type: ignore[arg-type]
    assert job.frames == [(wire.STDIN, 1, b"hello")]


def test_no_more_is_sent_than_the_slowest_has_room_for() -> None:
    job = Job([0, 1])
    job.stdin.on_credit(1, 4)
    job.stdin.on_credit(1, 4)
    thread, results = later(lambda: job.stdin.write(b"0123456789", None))
    assert job.arrived.wait(PATIENCE)
    assert job.frames == [(wire.STDIN, wire.EVERY_RANK, b"0123")]
    job.stdin.on_credit(1, 100)
    assert ended(thread)
    assert results == [True]
    assert b"".join(payload for _kind, _rank, payload in job.frames) == b"0123456789"


def test_writing_waits_for_the_ranks_to_start() -> None:
    job = Job([0], room=None)
    thread, results = later(lambda: job.stdin.write(b"early", None))
    assert job.frames == []
    job.stdin.on_credit(0, 10)
    assert ended(thread)
    assert results == [True]


def test_who_reads_no_more_holds_up_nobody() -> None:
    job = Job([0, 1], room=3)
    job.stdin.on_credit(0, wire.UNLIMITED)
    thread, _results = later(lambda: job.stdin.write(b"abcdef", None))
    assert job.arrived.wait(PATIENCE)
    assert job.frames == [(wire.STDIN, 1, b"abc")]
    job.stdin.on_credit(1, wire.UNLIMITED)
    assert ended(thread)
    assert job.stdin.write(b"more", None) is False
    assert job.stdin.room() == 0


def test_the_end_of_the_job_ends_every_wait() -> None:
    job = Job([0], room=None)
    waits = [later(lambda: job.stdin.write(b"x", None)), later(job.stdin.room)]
    job.stdin.on_end()
    assert [ended(thread) for thread, _results in waits] == [True, True]
    assert [results for _thread, results in waits] == [[False], [0]]


def test_the_end_is_sent_once_and_before_the_start_only_then() -> None:
    job = Job([0, 1], room=None)
    job.stdin.on_credit(0, 10)
    job.stdin.close(None)
    assert job.frames == [(wire.STDIN_END, 0, b"")]
    job.stdin.on_credit(1, 10)
    job.stdin.on_credit(1, 20)
    job.stdin.close(None)
    assert job.frames == [(wire.STDIN_END, 0, b""), (wire.STDIN_END, 1, b"")]
    assert job.stdin.write(b"x", None) is False


def test_closing_before_the_job_has_begun_counts() -> None:
    job = Job([], room=None)
    stdin = StdinSender(job._take)
    stdin.close(None)
    stdin.on_readers([0], tty=False)
    stdin.on_credit(0, 10)
    assert job.frames == [(wire.STDIN_END, 0, b"")]


def test_whose_input_was_closed_gets_nothing_that_is_for_all() -> None:
    job = Job([0, 1, 2])
    job.stdin.close(1)
    job.stdin.write(b"x", None)
    assert job.frames == [(wire.STDIN_END, 1, b""), (wire.STDIN, 0, b"x"), (wire.STDIN, 2, b"x")]


def test_a_rank_without_standard_input_is_named() -> None:
    job = Job([3])
    with pytest.raises(UsageError, match="^rank 1 has no standard input in this job; who has: 3"):
        job.stdin.write(b"x", 1)
    with pytest.raises(UsageError, match="no rank of this job has a standard input; start it with stdin='all'"):
        Job([]).stdin.write(b"x", None)
    assert Job([]).stdin.room() == 0


def test_terminal_is_that_of_the_one_rank() -> None:
    assert Job([2], tty=True).stdin.tty_rank == 2
    assert Job([2]).stdin.tty_rank is None

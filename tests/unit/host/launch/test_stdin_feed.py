"""Standard input: what a rank has not read waits on its host, within limits, and nobody else waits for it."""

from __future__ import annotations

import hashlib
import os
import random
import selectors
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import stdin_feed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stdin_feed import CHUNK, WINDOW, Feeder, RankStdin
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

PATIENCE = 60.0


class Pipe:
    """A rank's standard input and what feeds it, in a selector of its own."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.out, fd = os.pipe()
        os.set_blocking(fd, False)
        self.stdin = RankStdin(rank, fd, str(folder / f"rank{rank}.stdin"))

    def close(self) -> None:
        self.stdin.close()
        os.close(self.out)

    def read_all(self) -> bytes:
        """Read to the end, while somebody else writes."""
        with os.fdopen(os.dup(self.out), "rb") as source:
            return source.read()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path)
    yield pipe
    pipe.close()


class Host:
    """A feeder with as many ranks, and what it says there is room for."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.room: dict[int, int] = {}
        self.feeder = Feeder(self.selector, self._on_frame)
        self.pipes = [Pipe(folder, rank) for rank in range(ranks)]
        for pipe in self.pipes:
            self.feeder.add(pipe.stdin)

    def _on_frame(self, data: bytes) -> None:
        (frame,) = wire.Decoder().feed(data)
        assert frame.kind == wire.CREDIT
        self.room[frame.rank] = frame.offset

    def send(self, data: bytes, rank: int = wire.EVERY_RANK) -> None:
        self.feeder.on_frame(wire.Frame(wire.STDIN, data, rank))

    def end(self, rank: int = wire.EVERY_RANK) -> None:
        self.feeder.on_frame(wire.Frame(wire.STDIN_END, b"", rank))

    def work(self, rank: int) -> None:
        """Write until this rank has taken everything."""
        while self.pipes[rank].stdin.pending:
            ready = self.selector.select(PATIENCE)
            assert ready
            for key, _mask in ready:
                key.data()

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        self.selector.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, 2)
    yield host
    host.close()


def numbered(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - any bytes will do, the same each time


# -- on the host


def test_what_is_taken_at_once_goes_at_once_and_touches_no_disk(pipe: Pipe, tmp_path: Path) -> None:
    pipe.stdin.take(b"\0one\xff")
    pipe.stdin.flush()
    assert os.read(pipe.out, 100) == b"\0one\xff"
    assert not pipe.stdin.pending
    assert list(tmp_path.iterdir()) == []


def test_end_comes_after_all_that_was_sent(host: Host) -> None:
    data = numbered(3_000_000)
    for at in range(0, len(data), 50_000):
        host.send(data[at : at + 50_000], rank=1)
    host.end(rank=1)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(host.pipes[1].read_all()))
    reader.start()
    host.work(1)
    reader.join(PATIENCE)
    assert hashlib.sha256(got[0]).digest() == hashlib.sha256(data).digest()
    assert host.room[1] == wire.UNLIMITED


def test_rank_that_never_reads_costs_disk_and_stalls_nobody(host: Host, tmp_path: Path) -> None:
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(host.pipes[1].read_all()))
    reader.start()
    data = numbered(20 * 1024 * 1024)
    for at in range(0, len(data), 64 * 1024):
        assert host.room[0] >= at + 64 * 1024
        host.send(data[at : at + 64 * 1024])
        if at % WINDOW == 0:
            host.work(1)
        assert len(host.pipes[0].stdin._next) + len(host.pipes[0].stdin._rest) <= CHUNK + 64 * 1024
    host.end()
    host.work(1)
    reader.join(PATIENCE)
    assert got == [data]
    assert sum(path.stat().st_size for path in tmp_path.glob("rank0.stdin.*")) > len(data) - WINDOW
    host.feeder.drop(0)  # it has ended
    assert list(tmp_path.glob("rank0.stdin.*")) == []


def test_unread_bytes_have_a_limit_until_they_are_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin_feed, "LIMIT", 3 * WINDOW)
    sent = 0
    while host.room[0] > sent:
        host.send(bytes(min(100_000, host.room[0] - sent)), rank=0)
        sent = min(sent + 100_000, host.room[0])
    assert 2 * WINDOW <= sent <= 3 * WINDOW + 2 * CHUNK
    before, read = host.room[0], 0
    while read < 2 * WINDOW:
        read += len(os.read(host.pipes[0].out, CHUNK))
        host.feeder.feed(host.pipes[0].stdin)
    assert host.room[0] > before


def test_a_full_disk_holds_up_who_writes_and_loses_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "append", lambda self, data: 0)
    data = numbered(8 * WINDOW)
    sent, got = 0, b""
    while len(got) < len(data):
        while sent < min(host.room[0], len(data)):
            piece = data[sent : min(host.room[0], sent + 64 * 1024, len(data))]
            host.send(piece, rank=0)
            sent += len(piece)
        assert sent - len(got) <= 2 * WINDOW
        os.set_blocking(host.pipes[0].out, False)
        host.feeder.feed(host.pipes[0].stdin)
        got += os.read(host.pipes[0].out, CHUNK)
    assert got == data


def test_rank_that_closes_its_stdin_takes_all_and_is_no_error(host: Host) -> None:
    os.close(host.pipes[0].out)
    host.send(b"x" * 100, rank=0)
    assert host.room[0] == wire.UNLIMITED
    host.send(b"y" * 100)
    assert os.read(host.pipes[1].out, 1000) == b"y" * 100
    host.pipes[0].out = os.open(os.devnull, os.O_RDONLY)


def test_terminal_ends_by_its_character_also_in_mid_line(tmp_path: Path) -> None:
    for text, read in ((b"line\n", [b"line\n", b""]), (b"half", [b"half", b""]), (b"", [b""])):
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        stdin = RankStdin(0, os.dup(ours), str(tmp_path / "rank0.stdin"), terminal=True)
        stdin.take(text)
        stdin.flush()
        stdin.end()
        stdin.flush()
        assert [os.read(theirs, 100) for _each in read] == read
        assert not stdin.over
        assert not stdin.pending
        stdin.close()
        os.close(ours)
        os.close(theirs)

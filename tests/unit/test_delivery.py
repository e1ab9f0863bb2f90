# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output on its way from a rank's stream to the channel: nothing may stand still, whenever the channel takes what it has."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _rank, _spool, _supervisor, _wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._rank import Stream
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._supervisor import Channel, Supervisor

LINE = b"x" * 9 + b"\n"


class MoodyChannel(Channel):
    """Takes all or nothing, as `moods` says, one item per flush; what it took is in `taken`."""

    def __init__(self, fds: tuple[int, int], moods: Iterator[bool]) -> None:
        super().__init__(*fds)
        self.moods = moods
        self.taken = 0
        self._out.clear()

    def flush(self, wait: bool = False) -> None:  # noqa: ARG002 - as in its base
        if next(self.moods):
            self.taken += len(self._out)
            self._out.clear()


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """One for the rank's stream, whose reading end is the stream's own, and three for a supervisor."""
    made = [os.pipe() for _count in range(4)]
    os.set_blocking(made[0][0], False)
    yield made
    for fd in [made[0][1], *(fd for pair in made[1:] for fd in pair)]:
        os.close(fd)


def supervisor_of(stream: Stream, pipes: list[tuple[int, int]], moods: Iterator[bool]) -> tuple[Supervisor, MoodyChannel]:
    channel = MoodyChannel((pipes[1][0], pipes[2][1]), moods)
    supervisor = Supervisor(channel, pipes[3][0])
    supervisor._ranks = {0: SimpleNamespace(streams=[stream], ended=False)}
    return supervisor, channel


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_on_disk_waits_for_the_channel_and_for_nothing_else(
    seed: int, tmp_path: Path, pipes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stall here lasts until the next ping: the rank may be done writing, and nothing else wakes the supervisor up."""
    monkeypatch.setattr(_supervisor, "BACKLOG", 400)
    monkeypatch.setattr(_rank, "CHUNK", 100)
    stream = Stream(0, "stdout", pipes[0][0], str(tmp_path / "spool"))
    os.write(pipes[0][1], LINE * 400)
    while stream.read():
        pass
    dice = random.Random(seed)  # noqa: S311 - a replay, no secret
    supervisor, channel = supervisor_of(stream, pipes, iter(lambda: dice.random() < 0.4, None))
    for _turn in range(1000):
        supervisor._deliver()
        if stream.sent == 4000 and not channel.backlog:
            break
        assert supervisor._writing, "nothing would wake the supervisor up"
    assert stream.sent == 4000
    stream.forget()
    assert channel.taken == 4000 + 40 * len(_wire.encode(_wire.STDOUT, b"", 0, 0))


def test_the_beginning_of_a_line_that_was_kept_goes_when_its_moment_has_passed(tmp_path: Path, pipes: list[tuple[int, int]]) -> None:
    """Also when the moment has passed before the supervisor looks at its clock."""
    stream = Stream(0, "stdout", pipes[0][0], str(tmp_path / "spool"))
    os.write(pipes[0][1], LINE * 1000 + b"half")
    stream.read()
    supervisor, _channel = supervisor_of(stream, pipes, iter(lambda: True, None))
    supervisor._deliver()
    assert stream.sent == 10_000
    while time.monotonic() < stream.tail_until:
        assert 0 <= supervisor._timeout() <= _rank.MOMENT
    assert supervisor._timeout() == 0
    supervisor._deliver()
    assert (stream.sent, stream.tail_until) == (10_004, 0)
    assert supervisor._timeout() > 1
    stream.forget()


def frames_of(stream: Stream, *, now: float = 0.0, congested: bool = False) -> list[bytes]:
    """Return what the stream sends while the clock stands."""
    sent = b"".join(iter(lambda: stream.next_frame(now, congested), b""))
    return [frame.payload for frame in _wire.Decoder().feed(sent)]


@pytest.mark.parametrize("congested", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_what_is_left_on_disk_goes_in_whole_lines_and_at_once(
    ended: bool, congested: bool, tmp_path: Path, pipes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a line stands there too: no moment is spent waiting for it, and no line is cut in two."""
    monkeypatch.setattr(_rank, "CHUNK", 64)
    monkeypatch.setattr(_spool, "SEGMENT", 1001)
    stream = Stream(0, "stdout", pipes[0][0], str(tmp_path / "spool"))
    os.write(pipes[0][1], LINE * 400)
    while stream.read():
        pass
    if ended:
        stream.close()
    sent = frames_of(stream, congested=congested)
    assert b"".join(sent) == LINE * 400
    assert all(data.endswith(b"\n") for data in sent)
    assert len(sent) == 400 // 6 + 1  # as much at once as a chunk holds
    stream.forget()


def test_a_line_longer_than_a_chunk_goes_in_pieces(tmp_path: Path, pipes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rank, "CHUNK", 64)
    stream = Stream(0, "stdout", pipes[0][0], str(tmp_path / "spool"))
    os.write(pipes[0][1], LINE + b"y" * 200 + b"\n" + LINE)
    while stream.read():
        pass
    assert frames_of(stream) == [LINE, b"y" * 64, b"y" * 64, b"y" * 64, b"y" * 8 + b"\n" + LINE]
    stream.forget()


def test_what_the_disk_had_no_room_for_is_not_kept_back(
    tmp_path: Path, pipes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be read back from there when more comes than is kept at hand."""
    monkeypatch.setattr(_rank, "CHUNK", 64)
    stream = Stream(0, "stdout", pipes[0][0], str(tmp_path / "spool"))
    os.write(pipes[0][1], LINE * 2 + b"half")
    with monkeypatch.context() as full:
        full.setattr(stream._spool, "append", lambda _data: 0)
        stream.read()
    assert stream.full
    assert frames_of(stream, congested=True) == [LINE * 2 + b"half"]
    os.write(pipes[0][1], LINE * 20)
    while stream.read():
        pass
    assert b"".join(frames_of(stream)) == LINE * 20
    stream.forget()

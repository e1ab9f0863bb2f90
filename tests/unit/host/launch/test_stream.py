# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stream of a rank: how its output is cut into frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import stream as stream_module
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stream import Stream
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

LINE = b"x" * 9 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe whose reading end is the stream's own."""
    made = os.pipe()
    os.set_blocking(made[0], False)
    yield made
    os.close(made[1])


def frames_of(stream: Stream, *, now: float = 0.0, congested: bool = False) -> list[bytes]:
    """Return what the stream sends while the clock stands."""
    sent = b"".join(iter(lambda: stream.next_frame(now, congested), b""))
    return [frame.payload for frame in wire.Decoder().feed(sent)]


@pytest.mark.parametrize("congested", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_what_is_left_on_disk_goes_in_whole_lines_and_at_once(
    ended: bool, congested: bool, tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a line stands there too: no moment is spent waiting for it, and no line is cut in two."""
    monkeypatch.setattr(stream_module, "CHUNK", 64)
    monkeypatch.setattr(spool, "SEGMENT", 1001)
    stream = Stream(0, "stdout", pipe[0], str(tmp_path / "spool"))
    os.write(pipe[1], LINE * 400)
    while stream.read():
        pass
    if ended:
        stream.close()
    sent = frames_of(stream, congested=congested)
    assert b"".join(sent) == LINE * 400
    assert all(data.endswith(b"\n") for data in sent)
    assert len(sent) == 400 // 6 + 1  # as much at once as a chunk holds
    stream.forget()


def test_a_line_longer_than_a_chunk_goes_in_pieces(tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CHUNK", 64)
    stream = Stream(0, "stdout", pipe[0], str(tmp_path / "spool"))
    os.write(pipe[1], LINE + b"y" * 200 + b"\n" + LINE)
    while stream.read():
        pass
    assert frames_of(stream) == [LINE, b"y" * 64, b"y" * 64, b"y" * 64, b"y" * 8 + b"\n" + LINE]
    stream.forget()


def test_what_the_disk_had_no_room_for_is_not_kept_back(tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be read back from there when more comes than is kept at hand."""
    monkeypatch.setattr(stream_module, "CHUNK", 64)
    stream = Stream(0, "stdout", pipe[0], str(tmp_path / "spool"))
    os.write(pipe[1], LINE * 2 + b"half")
    with monkeypatch.context() as full:
        full.setattr(stream._spool, "append", lambda _data: 0)
        stream.read()
    assert stream.full
    assert frames_of(stream, congested=True) == [LINE * 2 + b"half"]
    os.write(pipe[1], LINE * 20)
    while stream.read():
        pass
    assert b"".join(frames_of(stream)) == LINE * 20
    stream.forget()

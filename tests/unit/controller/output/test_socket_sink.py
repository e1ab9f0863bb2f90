"""The process that launched a job reads frames."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import BACKLOG
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.socket_sink import SocketSink
from tests.support.waiting import wait_until
from tests.unit.readers import Woken, event, output


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give the two ends of a connection: ours and the reader's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(60)
        yield ours, theirs


def frames(sink: SocketSink, ends: tuple[socket.socket, socket.socket]) -> list[wire.Frame]:
    """Return all frames that were sent, after the sink's end."""
    sink.close()
    ends[0].close()
    data = b""
    while more := ends[1].recv(65536):
        data += more
    return wire.Decoder().feed(data)


def read(reader: socket.socket, size: int) -> None:
    """Take so many bytes."""
    while size:
        size -= len(reader.recv(min(size, 65536)))


def test_event_is_one_frame(ends: tuple[socket.socket, socket.socket]) -> None:
    sink = SocketSink(ends[0], Woken())
    happened = event("warning", host="a", text="careful")
    sink.event(happened)
    (frame,) = frames(sink, ends)
    assert (frame.kind, frame.json()) == (wire.EVENT, happened.to_json())


def test_bytes_follow_their_event_as_they_are(ends: tuple[socket.socket, socket.socket]) -> None:
    sink = SocketSink(ends[0], Woken())
    sink.output(output(2, "stderr", 5), b"\xff\n")
    told, data = frames(sink, ends)
    assert told.json()["event"] == "rank_output"
    assert (data.kind, data.rank, data.offset, data.payload) == (wire.STDERR, 2, 5, b"\xff\n")


def test_frame_for_the_launching_process_is_passed_on(ends: tuple[socket.socket, socket.socket]) -> None:
    sink = SocketSink(ends[0], Woken())
    sink.forward(wire.encode(wire.CREDIT, b"", 1, 9))
    (frame,) = frames(sink, ends)
    assert (frame.kind, frame.rank, frame.offset) == (wire.CREDIT, 1, 9)


def test_frames_for_a_reader_that_has_stopped_take_no_more_room(ends: tuple[socket.socket, socket.socket]) -> None:
    sink = SocketSink(ends[0], Woken())
    sink.event(event("warning", text="x" * 2 * BACKLOG))
    before = sink.backlog
    for offset in range(100_000):
        sink.forward(wire.encode(wire.CREDIT, b"", offset % 2, offset))
    sink.forward(wire.encode(wire.READERS, b"{}"))
    sink.tick(0.0)
    assert sink.backlog == before
    reader = threading.Thread(target=read, args=(ends[1], before))
    reader.start()
    reader.join(10)
    wait_until(lambda: sink.backlog == 0, "the reader has it")
    sink.tick(0.0)
    assert [(frame.kind, frame.rank, frame.offset) for frame in frames(sink, ends)] == [
        (wire.CREDIT, 0, 99_998),
        (wire.CREDIT, 1, 99_999),
        (wire.READERS, 0, 0),
    ]


def test_reader_that_is_behind_shows_as_backlog(ends: tuple[socket.socket, socket.socket]) -> None:
    sink = SocketSink(ends[0], Woken())
    sink.forward(bytes(10_000_000))
    assert sink.backlog == 10_000_000
    reader = threading.Thread(target=read, args=(ends[1], 10_000_000))
    reader.start()
    sink.close()
    reader.join(60)
    assert (sink.backlog, sink.broken) == (0, False)


def test_reader_that_is_gone_breaks_the_sink(ends: tuple[socket.socket, socket.socket]) -> None:
    woken = Woken()
    sink = SocketSink(ends[0], woken)
    ends[1].close()
    sink.event(event("warning", text="lost"))
    woken.wait()
    assert (sink.broken, sink.backlog) == (True, 0)
    sink.close()

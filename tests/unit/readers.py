"""Readers, clocks and events for the tests of sinks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import Sink


class Woken:
    """Counts the calls of `wake`, and waits for one."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(60)
        self.event.clear()


class Pipe:
    """A pipe whose reading end may go away."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self._open = {self.read, self.write}

    def close(self, *fds: int) -> None:
        for fd in self._open & set(fds or (self.read, self.write)):
            os.close(fd)
            self._open.remove(fd)

    def content(self) -> bytes:
        """Return all that was written; nobody writes any more."""
        self.close(self.write)
        with os.fdopen(self.read, "rb") as stream:
            self._open.clear()
            return stream.read()


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def look_often(sink: Sink, clock: Clock) -> None:
    """Let a sink that cannot write now look twenty times, each when it wants to."""
    for _look in range(20):
        due = sink.deadline()
        assert due is not None
        assert due > clock.now, "a loop would run without a pause"
        clock.now = due
        sink.tick(clock.now)


def output(rank: int = 0, stream: str = "stdout", offset: int = 0) -> Event:
    """Return a rank_output event."""
    return Event("rank_output", "j1", 1.0, "a", rank, details={"stream": stream, "offset": offset})


def event(kind: str, /, host: str | None = None, rank: int | None = None, **details: Any) -> Event:
    """Return any other event."""
    return Event(kind, "j1", 1.0, host, rank, details=details)


def text_of(happened: Event) -> str | None:
    """Describe as a Describer would: some events have no text."""
    return happened.details.get("text")


def waits_for(reader: threading.Event) -> Callable[[bytes], None]:
    """Return a way to write that takes as long as the reader."""

    def write(_data: bytes) -> None:
        reader.wait()

    return write

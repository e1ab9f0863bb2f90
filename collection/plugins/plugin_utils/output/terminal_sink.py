# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launching process's own terminal, or the files and pipes in its place, as a sink."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..job.events import Event
from .line_merger import LineMerger
from .sinks import Sink
from .writer import Writer, write_all

Describe = Callable[[Event], str | None]
Prefix = Callable[[Any], bytes] | None


class TerminalSink(Sink):
    """The launching process's own standard output and error.

    A line is broken for another that has waited, but not while the reader is behind: nobody would see the other any
    sooner, and output, with it the rest of the line, stays on the hosts as long.

    Args:
        fds: (stdout, stderr).
        describe: gives the text to print on stderr for an event, or None.
        prefix: gives the bytes before each line of (rank, stream); None for none.
        wake: see `Writer`.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        fds: tuple[int, int],
        describe: Describe,
        prefix: Prefix,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._describe = describe
        self._clock = clock
        # One place on a terminal, two when they are redirected apart: only lines that are seen side by side are put in order.
        places = fds[:1] if _same_place(*fds) else fds
        self._places = [(Writer(partial(write_all, fd), wake, clock), LineMerger(prefix)) for fd in places]

    def break_lines_by(self, newline: bytes) -> None:
        """Set the bytes that break an open line: on a raw terminal, a newline alone does not go back to the left."""
        for _writer, merger in self._places:
            merger.newline = newline

    def prefix_by(self, prefix: Prefix) -> None:
        """Set what gives the bytes before each line, before the first one."""
        for _writer, merger in self._places:
            merger.prefix = prefix

    def event(self, event: Event) -> None:
        text = self._describe(event)
        if text:
            self._feed(1, ("launch", 1), as_bytes(text) + b"\n")

    def output(self, event: Event, payload: bytes) -> None:
        at = 0 if event.stream == "stdout" else 1
        self._feed(at, (event.rank, at), payload)

    def _feed(self, at: int, source: Any, data: bytes) -> None:
        writer, merger = self._places[min(at, len(self._places) - 1)]
        merger.postpone(writer.behind())
        writer.put(merger.feed(source, data, self._clock()))

    def tick(self, now: float) -> None:
        for writer, merger in self._places:
            merger.postpone(writer.behind())
            writer.put(merger.tick(now))

    def deadline(self) -> float | None:
        times = []
        for writer, merger in self._places:
            merger.postpone(writer.behind())
            due = merger.deadline()
            if due is not None:
                # It moves on as long as the reader is behind; there is no use in running after it.
                times.append(max(due, self._clock() + merger.hold) if writer.size else due)
        return min(times, default=None)

    @property
    def backlog(self) -> int:
        # Lines that wait for the end of another may do so for as long as the reader is behind; they must not grow all that time.
        return sum(writer.size + merger.waiting for writer, merger in self._places if writer.size)

    @property
    def broken(self) -> bool:
        return any(writer.broken for writer, _merger in self._places)

    def unfit(self) -> list[str]:
        """Return the places that take nothing, each with the reason, as texts; the record has what they lack."""
        names = ("standard output", "standard error") if len(self._places) == 2 else ("standard output",)
        found = [(name, writer.unfit) for name, (writer, _merger) in zip(names, self._places, strict=True)]
        return [f"{name} could not be written: {error.strerror}" for name, error in found if error]

    def close(self) -> None:
        for writer, merger in self._places:
            writer.put(merger.finish())
            writer.close()


def as_bytes(text: str) -> bytes:
    """Return text as bytes; a path that is not UTF-8 comes out as it was."""
    return text.encode("utf-8", "surrogateescape")


def _same_place(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False

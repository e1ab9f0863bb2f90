# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sink that is never behind: its reader gets from the record what it did not take in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..job.events import Event
from .record.reader import Piece, RecordReader
from .record.writer import Mark
from .sinks import BACKLOG, Sink

_OVERHEAD = 200  # bytes that an event counts for beside its output


class Record(Protocol):
    """The part of `RunDir` that a late sink needs."""

    path: Path

    @property
    def given_up(self) -> bool:
        """Whether nothing more will be written."""

    @property
    def hangs(self) -> bool:
        """Whether it was given up because the file system does not answer."""

    def mark(self) -> Mark:
        """Return the place that the record has come to; it gets its position when everything before it is written."""


class CatchUp(Sink):
    """A sink that takes everything at once, and never makes the gang wait for its reader.

    While the reader is behind, the record is the only place that events and output go to. When it has room again it is
    given what the record has from the place where it stopped: up to a mark, at which it gets the news again.

    Args:
        sink: the one whose reader may be slow.
        record: has everything, before this sink gets it.
        wake: called, from another thread, when there is something to do.
    """

    def __init__(self, sink: Sink, record: Record, wake: Callable[[], None]) -> None:
        self._sink = sink
        self._record = record
        self._wake = wake
        self._begin: Mark | None = None  # where the reader stopped; None while it gets the news
        self._goal: Mark | None = None  # how far it is given the record
        self._reader: RecordReader | None = None
        self._news: list[Piece] | None = None  # those that follow the goal, unless they have become too many
        self._size = 0
        self._gaps: list[str] = []
        self._last: Event | None = None

    def event(self, event: Event) -> None:
        self._last = event
        self._take((event, b""))

    def output(self, event: Event, payload: bytes) -> None:
        self._take((event, payload))

    def forward(self, frame: bytes) -> None:
        self._sink.forward(frame)

    def tick(self, now: float) -> None:
        if self._begin:
            self._go_on(self._begin)
        self._sink.tick(now)

    def deadline(self) -> float | None:
        return self._sink.deadline()

    @property
    def broken(self) -> bool:
        return self._sink.broken

    @property
    def late(self) -> bool:
        return self._begin is not None or self._sink.backlog > 0

    def warnings(self) -> list[str]:
        texts, self._gaps = self._gaps, []
        return texts

    def close(self) -> None:
        if self._reader:
            self._reader.close()
        if self._begin and self._last:
            self._sink.event(self._last)  # the reader is to miss the rest, but not the outcome
        self._sink.close()

    def _take(self, piece: Piece) -> None:
        if not self._begin:
            self._give(piece)
            if self._sink.backlog > BACKLOG:
                self._begin = self._record.mark()
        elif self._news is not None:
            self._news.append(piece)
            self._size += len(piece[1]) + _OVERHEAD
            if self._size > BACKLOG:
                self._news = None

    def _give(self, piece: Piece) -> None:
        event, payload = piece
        if payload:
            self._sink.output(event, payload)
        else:
            self._sink.event(event)

    @property
    def _room(self) -> bool:
        return self._sink.backlog < BACKLOG // 4

    def _go_on(self, begin: Mark) -> None:
        """Give the reader as much as it takes."""
        if not self._room or self._sink.broken:
            return
        if not self._goal:
            self._goal = self._aim()
        if not self._reader and begin.position is not None:
            self._reader = RecordReader(self._record.path, begin.position, self._wake)
        if self._reader:
            self._read(self._reader, self._goal)
        if self._is_at(self._goal):
            self._arrive()

    def _aim(self) -> Mark:
        """Return the next goal: the end of the record as it is now."""
        self._news, self._size = [], 0
        return self._record.mark()

    def _read(self, reader: RecordReader, goal: Mark) -> None:
        if goal.position is not None:
            reader.allow(goal.position)
        while self._room and (piece := reader.take()):
            self._give(piece)

    def _is_at(self, goal: Mark) -> bool:
        """Return whether the reader has come to the goal, or cannot: the record is not written or read any more."""
        if self._record.hangs or (self._reader and self._reader.failed):
            return True
        if goal.position is None:
            return self._record.given_up
        return self._reader is not None and self._reader.end >= goal.position

    def _lost(self) -> str:
        """Return the reason why the reader cannot be given the rest of the record, or nothing."""
        if self._reader and self._reader.failed:
            return f"cannot read the record: {self._reader.failed}"
        return "the record could not be written" if self._record.given_up else ""

    def _arrive(self) -> None:
        """Give the reader the news from now on, unless too much has come meanwhile."""
        news, self._goal, self._news = self._news, None, None
        lost = self._lost()
        if news is None and not lost:
            self._goal = self._aim()
            return
        if lost:
            self._gaps.append(f"output was left out here: {lost}; {self._record.path} has what was written")
        if self._reader:
            self._reader.close()
        self._begin = self._reader = None
        for piece in news or ():
            self._give(piece)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a record back while it is written, from a thread of its own."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ...job.events import Event
from .writer import EVENTS, log_name

_CHUNK = 256 * 1024  # bytes of output in one piece
_AHEAD = 1024 * 1024  # bytes that are read before somebody takes them

Piece = tuple[Event, bytes]


class RecordReader:
    """A thread that reads events, and the output they are about, from a part of a record.

    Args:
        folder: the run directory.
        position: the place in events.jsonl where the part begins.
        wake: called, from the thread, when there is something to take.

    Attributes:
        end: the place in events.jsonl up to which everything was taken.
        failed: the error that ended the reading, or None.
    """

    def __init__(self, folder: Path, position: int, wake: Callable[[], None]) -> None:
        self._folder = folder
        self._wake = wake
        self._pieces: deque[tuple[Piece, int]] = deque()
        self._size = 0
        self._limit = position
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.end = position
        self.failed: Exception | None = None

    def allow(self, limit: int) -> None:
        """Read up to this place, which is written."""
        with self._changed:
            self._limit = max(self._limit, limit)
            self._changed.notify_all()
        if not self._thread and self._limit > self.end:
            self._thread = threading.Thread(target=self._run, args=(self.end,), name="mlxlaunch-reader", daemon=True)
            self._thread.start()

    def take(self) -> Piece | None:
        """Return the next event with its output, None when none has been read yet."""
        with self._changed:
            if not self._pieces:
                return None
            piece, self.end = self._pieces.popleft()
            self._size -= len(piece[1])
            self._changed.notify_all()
            return piece

    def close(self) -> None:
        """End the thread, which may hang in the file system; nobody waits for it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- in the thread

    def _run(self, position: int) -> None:
        try:
            with (self._folder / EVENTS).open("rb") as lines:
                lines.seek(position)
                while self._may_read(position):
                    line = lines.readline()
                    for piece in self._pieces_of(Event.from_json(json.loads(line))):
                        self._give(piece, position)
                    position += len(line)
                    self._on_line(position)
        except (OSError, ValueError, TypeError, KeyError) as exc:  # the disk, or somebody has changed the record
            self.failed = exc
            self._wake()

    def _may_read(self, position: int) -> bool:
        """Wait until the line at a position may be read; return False when the reader was closed."""
        return self._wait(lambda: self._limit > position)

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; return False when the reader was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or condition())
            return not self._closed

    def _give(self, piece: Piece, position: int) -> None:
        """Let somebody take a piece; the line that it belongs to is not complete yet."""
        if not self._wait(lambda: self._size < _AHEAD):
            return
        with self._changed:
            self._pieces.append((piece, position))
            self._size += len(piece[1])
        self._wake()

    def _on_line(self, position: int) -> None:
        """Let the last piece of a line, once it is taken, end there."""
        with self._changed:
            if self._pieces:
                self._pieces[-1] = (self._pieces[-1][0], position)
            else:
                self.end = position
        self._wake()

    def _pieces_of(self, event: Event) -> Iterator[Piece]:
        if event.event != "rank_output":
            yield event, b""
            return
        offset, left = event.details["offset"], event.details["length"]
        with (self._folder / log_name(event.rank, event.stream)).open("rb") as log:
            log.seek(offset)
            while left:
                data = log.read(min(left, _CHUNK))
                if not data:
                    raise OSError(f"{log_name(event.rank, event.stream)} is shorter than it was")
                details = {**event.details, "offset": offset, "length": len(data)}
                yield Event(event.event, event.job, event.time, event.host, event.rank, data, details), data
                offset, left = offset + len(data), left - len(data)

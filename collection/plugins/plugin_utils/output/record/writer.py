# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a record from a thread of its own, for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ....module_utils.lead.offsets import ACK_EVERY
from ...job.events import Event
from ..sinks import BACKLOG
from .files import RecordFiles
from .index import OutputIndex, line_of
from .syncer import Stream, Syncer

EVENTS = "events.jsonl"
_RETRY = 1.0  # seconds between two tries to write
# Seconds in which a little output is written together: it costs less, and leaves the processor to what is shown.
_GATHER = 0.1
_LITTLE = 65536  # bytes
_OVERHEAD = 200  # bytes that an item counts for beside its payload


@dataclass
class Mark:
    """A place between two items of a record.

    Attributes:
        position: the size of events.jsonl there; None until everything before it is written.
    """

    position: int | None = None


@dataclass(frozen=True)
class Item:
    """Something to write, in the order in which it became known.

    Attributes:
        event: for events.jsonl.
        payload: for the log that the event names.
        name, content: a file that is written anew.
        logs: files that are to be there, even if they stay empty.
        mark: gets its position.
    """

    event: Event | None = None
    payload: bytes = b""
    name: str = ""
    content: bytes = b""
    logs: Sequence[str] = ()
    mark: Mark | None = None


@dataclass(frozen=True)
class Trouble:
    """An error that keeps a record from being written on.

    Attributes:
        name: the file.
        error: the reason.
    """

    name: str
    error: OSError


@dataclass
class Progress:
    """The progress of a stream.

    Attributes:
        given: offset of the stream up to which it was given to the record.
        written: offset up to which it is in its log.
        asked: offset up to which it is to be brought to the disk.
        safe: offset up to which it is there.
        unsafe: the error with which the disk has refused some of it after all, or None.
    """

    given: int = 0
    written: int = 0
    asked: int = 0
    safe: int = 0
    unsafe: OSError | None = None


@dataclass
class _Shared:
    """The part of a writer that its thread and its caller both use, under one lock."""

    ready: threading.Condition = field(default_factory=threading.Condition)
    queue: deque[Item] = field(default_factory=deque)
    size: int = 0
    closing: bool = False
    hurry: bool = False  # somebody waits for what is in the queue


class RecordWriter:
    """A thread that writes items to the files of a record. What cannot be written is tried again until it can.

    Large, as it has two sides: that of its caller, and that of the thread.

    Args:
        files: the files; only the thread uses them from the first item on.
        wake: called, from the thread, when there is news for the caller.
        clock: monotonic seconds.

    Attributes:
        trouble: the error that is in the way now, or None.
        given_up: whether nothing more will be written.
        moved: when something was last written.
        streams: the progress of each stream.
        safe: streams that are on the disk up to another offset, until the caller takes them.
    """

    def __init__(self, files: RecordFiles, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._wake = wake
        self._clock = clock
        self._shared = _Shared()
        self._index = OutputIndex()
        self._thread: threading.Thread | None = None
        self._syncer = Syncer(self._on_synced)
        self.trouble: Trouble | None = None
        self.given_up = threading.Event()
        self.moved = clock()
        self.streams: dict[Stream, Progress] = {}
        self.safe: deque[Stream] = deque()

    @property
    def size(self) -> int:
        """Bytes that are not written yet."""
        return self._shared.size

    @property
    def behind(self) -> bool:
        """Whether something is to be written, or to be brought to the disk."""
        return bool(self._shared.size) or not self._syncer.wait(0.0)

    def put(self, item: Item) -> None:
        """Take an item."""
        if item.payload and item.event:
            self._progress(item.event).given = item.event.details["offset"] + len(item.payload)
        if self.given_up.is_set():
            if item.mark:
                item.mark.position = self._files.size(EVENTS)
            return
        with self._shared.ready:
            if not self._shared.size:
                self.moved = self._clock()
            self._shared.queue.append(item)
            before, self._shared.size = self._shared.size, self._shared.size + _weight(item)
            self._shared.hurry = self._shared.hurry or item.mark is not None
            if item.mark or len(self._shared.queue) == 1 or before < _LITTLE <= self._shared.size:
                self._shared.ready.notify_all()
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="mlxlaunch-record", daemon=True)
            self._thread.start()

    def give_up(self) -> None:
        """Leave the rest unwritten."""
        self.given_up.set()
        with self._shared.ready:
            self._shared.ready.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until everything is written, and what is to be on the disk is there, at most so many seconds.

        Returns:
            Whether nothing is left to wait for.
        """
        with self._shared.ready:
            self._shared.hurry = True
            self._shared.ready.notify_all()
            began = self._clock()
            if not self._shared.ready.wait_for(lambda: not self._shared.size or self.given_up.is_set(), seconds):
                return False
        return self.given_up.is_set() or self._syncer.wait(began + seconds - self._clock())

    def close(self, patience: float) -> None:
        """Write the lines that are left, and close the files; wait so many seconds for a disk that takes nothing."""
        with self._shared.ready:
            self._shared.closing = True
            self._shared.ready.notify_all()
        if not self._thread:
            self._files.close()
            return
        while self._thread.is_alive() and self._clock() < self.moved + patience and not self.given_up.is_set():
            self._thread.join(_RETRY)
        if self._thread.is_alive():
            self.give_up()
            self._thread.join(_RETRY)
        if not self.given_up.is_set():
            self._syncer.wait(self.moved + patience - self._clock())
        self._syncer.close(_RETRY)

    # -- in the thread

    def _run(self) -> None:
        while (items := self._next()) is not None:
            before = self.size
            self._write(items)
            with self._shared.ready:
                self._shared.size -= sum(map(_weight, items))
                self._shared.ready.notify_all()
            if before > BACKLOG // 4 or any(item.mark for item in items):
                self._wake()
        self._write_lines(b"")
        self._files.close()

    def _next(self) -> list[Item] | None:
        """Wait for items, or until lines are due; return None when the writer is being closed and has everything."""
        shared = self._shared
        with shared.ready:
            while not shared.queue and not shared.closing:
                due = self._index.deadline()
                if due is None or self.given_up.is_set():
                    shared.ready.wait()
                elif not shared.ready.wait(max(0.0, due - self._clock())):
                    break
            if shared.queue:
                shared.ready.wait_for(lambda: shared.closing or shared.hurry or shared.size >= _LITTLE, _GATHER)
            shared.hurry = False
            items = list(shared.queue)
            shared.queue.clear()
        return items or (None if shared.closing else [])

    def _write(self, items: Sequence[Item]) -> None:
        """Write items in their order; output goes to the logs first, and then its place into the index."""
        pieces: list[Item] = []
        for item in items:
            if item.payload:
                pieces.append(item)
                continue
            self._write_output(pieces)
            pieces = []
            self._write_other(item)
        self._write_output(pieces)
        due = self._index.deadline()
        if due is not None and self._clock() >= due:
            self._write_lines(b"")

    def _write_other(self, item: Item) -> None:
        for name in item.logs:
            self._insist(name, lambda name=name: self._files.append(name, b""))  # type: ignore[misc]
        if item.name:
            self._insist(item.name, lambda: self._files.replace(item.name, item.content))
        if item.event:
            self._write_lines(line_of(item.event))
        if item.mark:
            self._write_lines(b"")
            item.mark.position = self._files.size(EVENTS)

    def _write_lines(self, last: bytes) -> None:
        """Write the lines of the output so far, and one more."""
        lines = self._index.lines() + last
        if lines:
            self._insist(EVENTS, lambda: self._files.append(EVENTS, lines))

    def _write_output(self, pieces: Sequence[Item]) -> None:
        together: dict[str, list[Item]] = {}
        for item in pieces:
            if item.event:
                together.setdefault(log_name(item.event.rank, item.event.stream), []).append(item)
        for name, items in together.items():
            data = b"".join(item.payload for item in items)
            if not self._insist(name, lambda name=name, data=data: self._files.append(name, data)):  # type: ignore[misc]
                return
            self._on_output(name, items, len(data))

    def _on_output(self, name: str, items: Sequence[Item], length: int) -> None:
        """Note that output is in its log."""
        first, last = items[0].event, items[-1].event
        if first is None or last is None:
            return
        self._index.add(first, self._files.size(name) - length, length, self._clock())
        progress = self._progress(last)
        progress.written = last.details["offset"] + len(items[-1].payload)
        if progress.written - progress.asked >= ACK_EVERY and not progress.unsafe:
            try:
                fd = self._files.duplicate(name)
            except OSError:
                return  # too many files are open: the next output asks again
            progress.asked = progress.written
            self._syncer.sync((last.rank or 0, last.stream or ""), fd, progress.written)

    def _on_synced(self, stream: Stream, offset: int, error: OSError | None) -> None:
        """Note that a log is on the disk; or that it is not, and will not be. From the syncer's thread."""
        progress, self.moved = self.streams[stream], self._clock()
        if error or progress.unsafe:
            # The kernel forgets what it could not write: only the host has it for certain.
            progress.unsafe = progress.unsafe or error
        else:
            progress.safe = offset
            self.safe.append(stream)
        self._wake()

    def _insist(self, name: str, step: Callable[[], None]) -> bool:
        """Do a step until it succeeds; return False when the writer was told to give up."""
        while not self.given_up.is_set():
            try:
                step()
            except OSError as exc:
                self.trouble = Trouble(name, exc)
                self._wake()
                self.given_up.wait(_RETRY)
            else:
                was, self.trouble, self.moved = self.trouble, None, self._clock()
                if was:
                    self._wake()
                return True
        return False

    def _progress(self, event: Event) -> Progress:
        return self.streams.setdefault((event.rank or 0, event.stream or ""), Progress())


def log_name(rank: int | None, stream: str | None) -> str:
    """Return the name of a log in a run directory."""
    return f"{rank}/{stream}.log"


def _weight(item: Item) -> int:
    return len(item.payload) + len(item.content) + _OVERHEAD

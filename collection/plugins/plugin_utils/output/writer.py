# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing to a reader that may be slow, without waiting for it."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

_CHUNK = 256 * 1024  # bytes that are written together
# A file that takes no more, or a descriptor that never did: nobody was there that could have gone.
_UNFIT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)


class Writer:
    """A thread that writes to something that may block, and reports when it has caught up.

    The thread begins with the first bytes.

    Args:
        write: takes bytes and returns when all are written; OSError means the reader is gone, or the place is unfit.
        wake: called after bytes were written, from the thread.
        clock: gives monotonic seconds.

    Attributes:
        size: bytes that the reader has not taken yet.
        broken: whether the reader is gone.
        unfit: why the place takes nothing, a full disk for example, or None; all further bytes are dropped.
    """

    def __init__(self, write: Callable[[bytes], None], wake: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._wake = wake
        self._clock = clock
        self._queue: deque[bytes] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._behind_since = 0.0
        self._behind = 0.0
        self._thread: threading.Thread | None = None
        self.size = 0
        self.broken = False
        self.unfit: OSError | None = None

    def put(self, data: bytes) -> None:
        """Queue bytes."""
        if not data or self.broken or self.unfit:
            return
        with self._ready:
            if not self.size:
                self._behind_since = self._clock()
            self._queue.append(data)
            self.size += len(data)
            self._ready.notify()
        if not self._thread:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def behind(self) -> float:
        """Return for how many seconds since the last call the reader was behind."""
        with self._ready:
            now = self._clock()
            seconds = self._behind + (now - self._behind_since if self.size else 0.0)
            self._behind, self._behind_since = 0.0, now
            return seconds

    def close(self, patience: float = 60.0) -> None:
        """Write the rest of the queue; give up a reader that takes nothing for `patience` seconds."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        before = self.size + 1
        while self._thread and self._thread.is_alive() and self.size < before:
            before = self.size
            self._thread.join(patience)

    def _run(self) -> None:
        while data := self._next():
            try:
                self._write(data)
            except OSError as exc:
                self.unfit = exc if exc.errno in _UNFIT else None
                self.broken = not self.unfit
            self._on_written(len(data))
            self._wake()
            if self.broken or self.unfit:
                return

    def _next(self) -> bytes:
        """Wait for bytes and return a good part of them; none when the writer is being closed and has written all."""
        with self._ready:
            while not self._queue and not self._closing:
                self._ready.wait()
            parts, size = [], 0
            while self._queue and size < _CHUNK:
                parts.append(self._queue.popleft())
                size += len(parts[-1])
            return b"".join(parts)

    def _on_written(self, size: int) -> None:
        with self._ready:
            self.size -= size
            if self.broken or self.unfit:
                self._queue.clear()
                self.size = 0
            if not self.size:
                self._behind += self._clock() - self._behind_since


def write_all(fd: int, data: bytes) -> None:
    """Write all bytes to a descriptor, waiting as long as it takes."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another program has made this terminal non-blocking
            select.select([], [fd], [])

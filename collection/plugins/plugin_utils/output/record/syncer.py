# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait until logs are on the disk, in a thread of its own.

Meanwhile others are written, and the same ones further.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable

# Not every system has fdatasync(2).
_SYNC = getattr(os, "fdatasync", os.fsync)
_FULL = getattr(fcntl, "F_FULLFSYNC", None)  # a Mac's fsync(2) ends when the disk has it in its cache

Stream = tuple[int, str]  # rank, name


def _flush_disk(fd: int) -> None:
    """Bring a file from the disk's cache to the disk, where that is a step of its own and the file system has it."""
    if _FULL is not None:
        try:
            fcntl.fcntl(fd, _FULL)
        except OSError as exc:
            if exc.errno == errno.EIO:
                raise


class Syncer:
    """A thread that brings files to the disk, one after the other.

    What is asked for while it is at work comes together: of each stream, only the last offset.

    Args:
        done: called from the thread with a stream, the offset up to which it is on the disk, and the error with which
            the disk has refused it, or None.
    """

    def __init__(self, done: Callable[[Stream, int, OSError | None], None]) -> None:
        self._done = done
        self._ready = threading.Condition()
        self._wanted: dict[Stream, tuple[int, int]] = {}  # (descriptor, offset)
        self._busy = False
        self._closing = False
        self._thread: threading.Thread | None = None

    def sync(self, stream: Stream, fd: int, offset: int) -> None:
        """Bring a file to the disk.

        Args:
            stream: of which it is the log.
            fd: of the file; it is closed here.
            offset: of the stream up to which it is in the file.
        """
        with self._ready:
            before = self._wanted.pop(stream, None)
            self._wanted[stream] = fd, offset
            self._ready.notify_all()
        if before:
            os.close(before[0])
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="mlxlaunch-sync", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is to be brought to the disk, at most so many seconds; return whether that is so."""
        with self._ready:
            return self._ready.wait_for(lambda: not self._wanted and not self._busy, max(0.0, seconds))

    def close(self, patience: float) -> None:
        """Leave out what is not begun, and wait so many seconds for what is."""
        with self._ready:
            self._closing = True
            left = list(self._wanted.values())
            self._wanted.clear()
            self._ready.notify_all()
        for fd, _offset in left:
            os.close(fd)
        if self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._closing or self._wanted)
                if self._closing:
                    return
                stream = next(iter(self._wanted))
                fd, offset = self._wanted.pop(stream)
                self._busy = True
            error = None
            try:
                _SYNC(fd)
                _flush_disk(fd)
            except OSError as exc:
                error = exc
            with contextlib.suppress(OSError):
                os.close(fd)
            self._done(stream, offset, error)
            with self._ready:
                self._busy = False
                self._ready.notify_all()

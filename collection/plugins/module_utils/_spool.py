# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: one stream of a rank, kept on disk until the controller has it.

The stream is a row of files of `SEGMENT` bytes, named by the offset they begin at. What the controller has
acknowledged is deleted, so a job of a day needs no more room than the reader is behind.
"""

from __future__ import annotations

import os

SEGMENT = 8 * 1024 * 1024


class Spool:
    """Append bytes, read them back by offset, release what is no longer needed.

    Attributes:
        end: bytes appended so far.
        start: first offset that can still be read.
    """

    def __init__(self, path):
        self._path = path
        self._segments = []  # offsets the files begin at
        self._fd = -1
        self.start = 0
        self.end = 0

    @classmethod
    def reopen(cls, path):
        """Return the spool that an earlier process left behind, for reading."""
        spool = cls(path)
        folder, name = os.path.split(path)
        found = [item[len(name) + 1 :] for item in os.listdir(folder) if item.startswith(name + ".")]
        spool._segments = sorted(int(item) for item in found if item.isdigit())
        if spool._segments:
            spool.start = spool._segments[0]
            last = spool._segments[-1]
            spool.end = last + os.stat(spool._file(last)).st_size
        return spool

    def _file(self, offset):
        return "%s.%d" % (self._path, offset)

    def append(self, data):
        """Add bytes; return how many fitted. Fewer than given, or none, means the disk is full."""
        view = memoryview(data)
        done = 0
        while done < len(view):
            if self._fd < 0 and not self._next_segment():
                break
            room = SEGMENT - (self.end - self._segments[-1])
            try:
                count = os.write(self._fd, view[done : done + room])
            except OSError:
                break
            done += count
            self.end += count
            if count == room:
                os.close(self._fd)
                self._fd = -1
        return done

    def _next_segment(self):
        try:
            self._fd = os.open(self._file(self.end), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        if not self._segments:
            self.start = self.end
        if not self._segments or self._segments[-1] != self.end:
            self._segments.append(self.end)
        return True

    def skip(self, size):
        """Count bytes that went another way because the disk had no room for them."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.end += size

    def read(self, offset, size):
        """Return up to `size` bytes from `offset`; nothing at the end."""
        for begin in reversed(self._segments):
            if begin <= offset:
                break
        else:
            return b""
        fd = os.open(self._file(begin), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, max(0, min(size, SEGMENT - (offset - begin))), offset - begin)
        finally:
            os.close(fd)

    def after_gap(self, offset):
        """Return the next offset that can be read, `end` when there is none: what was skipped lies between."""
        return min((begin for begin in self._segments if begin > offset), default=self.end)

    def release(self, offset):
        """Forget everything below `offset`: whole files are deleted, the last one stays until `remove`."""
        while len(self._segments) > 1 and self._segments[1] <= offset:
            _unlink(self._file(self._segments.pop(0)))
            self.start = self._segments[0]

    def remove(self):
        """Delete all files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for begin in self._segments:
            _unlink(self._file(begin))
        self._segments = []


def _unlink(path):
    try:
        os.unlink(path)
    except OSError:
        pass

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spool of one stream of a rank: bytes kept on disk until the controller has them.

The stream is a row of files, named by the offset they begin at. Acknowledged files are deleted, so a job of a day needs
no more room than the reader is behind. Each file is opened once: it can be read when somebody has deleted it.
"""

from __future__ import annotations

import errno
import os

SEGMENT = 8 * 1024 * 1024  # bytes of a file, more when the reader is far behind
SHARE = 8  # how many files hold as much as the reader is behind: few, as each has a descriptor
CHECK = 1024 * 1024  # bytes between two looks at the disk
LIMIT = 16 * 1024**3  # bytes that the output of a job may take on a host
RESERVE = 10  # a tenth of the disk is not for this
PLENTY = 64 * 1024**3  # bytes, which are reserve enough for a disk of any size


class Room:
    """The room that the streams of a job may take together.

    Attributes:
        taken: bytes.
    """

    def __init__(self, limit=LIMIT):
        self._limit = limit
        self.taken = 0

    @property
    def left(self):
        """Bytes that may be taken."""
        return max(0, self._limit - self.taken)


class Spool:
    """Append bytes, read them back by offset, release those that are no longer needed.

    Args:
        path: of its files, without the offset.
        room: what all streams of the job may take.

    Attributes:
        end: bytes appended so far.
        start: first offset that can still be read.
        problem: why bytes did not fit, "" when none were given back yet.
    """

    def __init__(self, path, room=None):
        self._path = path
        self._room = room or Room()
        self._segments = []  # (offset the file begins at, descriptor)
        self._space = 0  # bytes that go into the last file
        self._unchecked = 0  # bytes that were written since the last look at the disk
        self.start = 0
        self.end = 0
        self.problem = ""

    @classmethod
    def reopen(cls, path):
        """Return the spool that an earlier process left behind, for reading."""
        spool = cls(path)
        folder, name = os.path.split(path)
        found = [item[len(name) + 1 :] for item in os.listdir(folder) if item.startswith(name + ".")]
        for begin in sorted(int(item) for item in found if item.isdigit()):
            fd = os.open(spool._file(begin), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            spool._segments.append((begin, fd))
            spool.end = begin + os.fstat(fd).st_size
        spool.start = spool._segments[0][0] if spool._segments else 0
        return spool

    def _file(self, offset):
        return "%s.%d" % (self._path, offset)

    def append(self, data):
        """Add bytes; return how many fitted. Fewer than given, or none, means there is no room; see `problem`."""
        view = memoryview(data)
        done = 0
        while done < len(view):
            try:
                count = self._write(view[done:])
            except OSError as exc:
                self.problem = _reason(exc)
                break
            done += count
        return done

    def _write(self, view):
        """Write bytes into the last file, or a new one; return how many; raise OSError when there is no room."""
        if not self._space:
            self._next_segment()
        fd = self._segments[-1][1]
        wanted = min(len(view), self._space)
        self._check(fd, wanted)
        count = os.write(fd, view[:wanted])
        self._space -= count
        self._unchecked += count
        self._room.taken += count
        self.end += count
        return count

    def _next_segment(self):
        if not self._segments or self._segments[-1][0] != self.end:
            fd = os.open(self._file(self.end), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if not self._segments:
                self.start = self.end
            self._segments.append((self.end, fd))
        self._space = max(SEGMENT, (self.end - self.start) // SHARE)
        self._unchecked = CHECK

    def _check(self, fd, wanted):
        """Raise OSError when the disk, or what the job may take of it, has no room for bytes."""
        if self._room.left < wanted:
            raise OSError(errno.EDQUOT, "the output of the job takes %d MiB there, which is the limit" % (self._room.taken >> 20))
        if self._unchecked >= CHECK and self.end - self.start >= 2 * SEGMENT:
            if not has_room(os.fstatvfs(fd)):
                raise OSError(errno.ENOSPC, "less than a tenth of the disk is free")
            self._unchecked = 0

    def skip(self, size):
        """Count bytes that went another way because there was no room for them."""
        self._space = 0
        self.end += size

    def read(self, offset, size):
        """Return up to `size` bytes from `offset`; nothing at the end."""
        for begin, fd in reversed(self._segments):
            if begin <= offset:
                return os.pread(fd, size, offset - begin)
        return b""

    def after_gap(self, offset):
        """Return the next offset that can be read, `end` when there is none: skipped bytes lie between."""
        return min((begin for begin, _fd in self._segments if begin > offset), default=self.end)

    def release(self, offset):
        """Forget everything below `offset`: whole files are deleted, the last one stays until `remove`."""
        while len(self._segments) > 1 and self._segments[1][0] <= offset:
            self._drop()
            self.start = self._segments[0][0]

    def _drop(self):
        """Delete the first file."""
        begin, fd = self._segments.pop(0)
        self._room.taken -= os.fstat(fd).st_size
        os.close(fd)
        try:
            os.unlink(self._file(begin))
        except OSError:
            pass

    def close(self):
        """Let go of the files, which stay."""
        while self._segments:
            os.close(self._segments.pop()[1])
        self._space = 0

    def remove(self):
        """Delete all files."""
        while self._segments:
            self._drop()
        self._space = 0


def has_room(disk):
    """Return whether the disk of these `os.statvfs` figures is far from full."""
    return disk.f_bavail * RESERVE > disk.f_blocks or disk.f_bavail * disk.f_frsize > PLENTY


def _reason(exc):
    """Return why bytes could not be written, as a text for people."""
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        return "no more files can be opened (%s)" % exc.strerror
    if exc.strerror == os.strerror(errno.ENOSPC):
        return "the disk is full"
    return exc.strerror or str(exc)

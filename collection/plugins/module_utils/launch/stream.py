# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One output stream of a rank, from its pipe over the disk to the controller."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

CHUNK = 256 * 1024
BULK = 4096  # bytes at once that nobody types or generates token by token
MOMENT = 0.01  # seconds
STREAMS = {"stdout": wire.STDOUT, "stderr": wire.STDERR}


class Stream:
    """One stream of a rank: pipe to disk, disk to frames.

    The pipe is always read, so a slow link never stalls the rank. Only when there is no room on disk are bytes
    held in memory and the pipe left alone until they are sent: nothing is ever dropped.

    Attributes:
        rank: the rank's number.
        name: stdout or stderr.
        fd: the reading end of the pipe, -1 once it has ended.
        sent: offset up to which bytes have been made frames.
        full: whether there is no room on disk and reading has to wait; see `problem`.
        tail_until: time at which the beginning of a line that was kept is sent all the same; 0 when none is kept.
    """

    def __init__(self, rank, name, fd, path, room=None):
        self.rank = rank
        self.name = name
        self.fd = fd
        self.sent = 0
        self.tail_until = 0.0
        self._spool = Spool(path, room)
        self._fresh = b""  # all unsent bytes on disk, or nothing: spares reading them back
        self._held = b""  # bytes for which the disk had no room

    @property
    def full(self):
        return bool(self._held)

    @property
    def problem(self):
        """Why there is no room."""
        return self._spool.problem

    @property
    def drained(self):
        """Whether the stream has ended and all of it has been made frames."""
        return self.fd < 0 and not self._held and self.sent == self._spool.end

    def read(self):
        """Read the pipe; return False when nothing was there."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        follows = self.sent + len(self._fresh) == self._spool.end and len(self._fresh) < CHUNK
        stored = self._spool.append(data)
        self._held = data[stored:]
        self._fresh = self._fresh + data[:stored] if follows else b""
        return True

    def next_frame(self, now, congested):
        """Return the bytes of the next frame to send; b"" when there is nothing to send now.

        Small writes, such as tokens or half a progress bar, are sent at once. Large output is cut at line ends: a line
        whose end came behind megabytes of others would stand broken on the screen. The beginning of the last line is
        sent with the rest of it, or after a moment when that has not come (see `tail_until`).

        Args:
            now: monotonic seconds.
            congested: whether the link has not taken all bytes so far.
        """
        data = b""
        if self.sent < self._spool.end:
            data = self._whole_lines(self._fresh or self._stored(), now, congested)
        elif self._held:
            # Goes as it is: none of it may be kept, for it is nowhere else.
            data, self._held, self.tail_until = self._held, b"", 0.0
            self._spool.skip(len(data))
        if not data:
            return b""
        frame = wire.encode(STREAMS[self.name], data, self.rank, self.sent)
        self.sent += len(data)
        return frame

    def _stored(self):
        """Return the next bytes on disk, a whole chunk if there are as many, be they in one file or two."""
        data = self._spool.read(self.sent, CHUNK)
        if len(data) < CHUNK and self.sent + len(data) < self._spool.end:
            data += self._spool.read(self.sent + len(data), CHUNK - len(data))
        return data

    def _whole_lines(self, data, now, congested):
        """Return the part of `data` to send now, keeping the beginning of a line that goes on."""
        at = data.rfind(b"\n") + 1
        until, self.tail_until, self._fresh = self.tail_until, 0.0, b""
        if self.sent + len(data) < self._spool.end:
            return data[:at] or data  # the rest stands on disk, together with what follows
        if self.fd >= 0:
            if 0 < at < len(data) and (congested or len(data) >= BULK):
                self.tail_until = now + MOMENT
                data, self._fresh = data[:at], data[at:]
            elif not at and len(data) < CHUNK and now < until:
                self.tail_until = until
                data, self._fresh = b"", data
        return data

    def acknowledge(self, offset):
        """Release the bytes below `offset`, which the controller has."""
        self._spool.release(min(offset, self.sent))

    def close(self):
        """Close the pipe."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def forget(self):
        """Close the pipe and remove the files on disk."""
        self.close()
        self._spool.remove()

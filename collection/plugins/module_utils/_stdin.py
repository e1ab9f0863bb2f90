# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: standard input on its way to ranks that may not want it yet.

The controller sends no more than it was told there is room for (`wire.ROOM`), so nothing piles up in the channel.
What a rank has not read stands on disk. Only when that runs low is the controller held up by the slowest rank.
"""

from __future__ import annotations

import os
import selectors

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._spool import Spool

CHUNK = 256 * 1024
WINDOW = 1024 * 1024  # bytes that may be under way, and that always find a place, in memory if need be
LIMIT = 1024 * 1024 * 1024  # bytes that a rank may leave unread before others have to wait for it
RESERVE = 10  # a tenth of the disk is not for this
NO_END = 2**64 - 1  # room in a stdin that nobody reads any more: whatever comes is dropped


class Stdin:
    """What one rank has not read yet, and the writing end of its pipe or terminal.

    Args:
        rank: its number.
        fd: the writing end, which must not block.
        path: where to keep what has to wait, as a `Spool` does.
        terminal: whether it is a terminal: its end is a character, and closing it would hang up.

    Attributes:
        rank, fd, terminal: as above; fd is -1 once it is closed.
        pending: whether there is something to write, or the end to tell.
        over: whether nobody reads, or all is told; `close` it then.
    """

    def __init__(self, rank, fd, path, terminal=False):
        self.rank = rank
        self.fd = fd
        self.over = False
        self._path = path
        self.terminal = terminal
        self._next = b""  # goes before what is on disk
        self._spool = Spool(path)
        self._read = 0  # offset on disk
        self._rest = b""  # goes after it: what the disk had no room for
        self._received = 0
        self._written = 0
        self._told = 0
        self._ended = False
        self._last = b"\n"

    @property
    def pending(self):
        return self.fd >= 0 and not self.over and bool(self._next or self._unread or self._rest or self._ended)

    @property
    def _unread(self):
        """Bytes on disk."""
        return self._spool.end - self._read

    def take(self, data):
        """Take bytes that come after all that came before."""
        self._received += len(data)
        if self.fd < 0 or self.over:
            return
        if self._rest:
            self._rest += data
        elif not self._unread and len(self._next) < CHUNK:
            self._next += data
        else:
            self._rest = data[self._spool.append(data) :]

    def end(self):
        """Nothing more will come."""
        self._ended = True

    def flush(self):
        """Write what is taken now."""
        while self._fill():
            try:
                count = os.write(self.fd, self._next)
            except BlockingIOError:
                return
            except OSError:  # it was closed at the other side, which is nobody's mistake
                self.over = True
                return
            if not count:
                return
            self._last = self._next[count - 1 : count]
            self._next = self._next[count:]
            self._written += count
        if self._ended and not self.over:
            self._tell_end()

    def _fill(self):
        if not self._next and self._unread:
            self._next = self._spool.read(self._read, CHUNK)
            self._read += len(self._next)
            self._spool.release(self._read)
        if not self._next and not self._unread:
            self._next, self._rest = self._rest, b""
        return self._next

    def _tell_end(self):
        self._ended = False
        if not self.terminal:
            self.over = True
            return
        # Ctrl-D hands over what was typed; only with nothing typed since does it mean the end, see termios(3).
        self._next = b"\4" if self._last == b"\n" else b"\4\4"
        self._written -= len(self._next)
        self.flush()

    def room(self):
        """Return up to which offset bytes may be sent now, or 0 when there is nothing new to say about that."""
        if self.fd < 0 or self.over:
            upto = NO_END
        elif self._rest:
            return 0
        elif self._received - self._written < WINDOW or self._disk_has_room():
            upto = min(self._received + WINDOW, self._written + LIMIT)
        else:
            upto = self._written + WINDOW
        if self._told == NO_END or upto < min(self._told + WINDOW // 2, NO_END):
            return 0
        self._told = upto
        return upto

    def _disk_has_room(self):
        try:
            disk = os.statvfs(os.path.dirname(self._path))
        except OSError:
            return False
        return disk.f_bavail * RESERVE > disk.f_blocks

    def close(self):
        """Drop what was not read."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._next = self._rest = b""
        self._spool.remove()
        self._read = self._spool.end


class Feeder:
    """Standard input of all ranks of a host: from frames to pipes, by one selector.

    Args:
        selector: what waits in it has as its data what to call when it is ready.
        send: takes the bytes of a frame for the controller.
    """

    def __init__(self, selector, send):
        self._selector = selector
        self._send = send
        self._open = {}  # by rank
        self._watched = set()  # ranks

    def add(self, stdin):
        """A rank has started that has a standard input."""
        self._open[stdin.rank] = stdin
        self._tell(stdin)

    def on_frame(self, frame):
        """Take bytes, or their end, for a rank or for all."""
        for rank, stdin in list(self._open.items()):
            if frame.rank in (rank, wire.EVERY_RANK):
                if frame.kind == wire.STDIN:
                    stdin.take(frame.payload)
                else:
                    stdin.end()
                self.feed(stdin)

    def feed(self, stdin):
        """Write what a rank takes, and say what there is room for then."""
        stdin.flush()
        if stdin.over:
            self.drop(stdin.rank)
            return
        if stdin.pending != (stdin.rank in self._watched):
            self._watch(stdin, stdin.pending)
        self._tell(stdin)

    def drop(self, rank):
        """A rank has ended, or reads no more."""
        stdin = self._open.pop(rank, None)
        if stdin:
            self._watch(stdin, False)
            stdin.close()
            self._tell(stdin)

    def _watch(self, stdin, wanted):
        if wanted:
            self._watched.add(stdin.rank)
            self._selector.register(stdin.fd, selectors.EVENT_WRITE, lambda: self.feed(stdin))
        elif stdin.rank in self._watched:
            self._watched.discard(stdin.rank)
            self._selector.unregister(stdin.fd)

    def _tell(self, stdin):
        room = stdin.room()
        if room:
            self._send(wire.encode(wire.ROOM, b"", stdin.rank, room))

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard input on its way to ranks that may not read it yet: the twin of the output pump.

The controller sends no more bytes than it has credit for (`wire.CREDIT`), so nothing piles up in the link. Bytes that a
rank has not read are on disk. Only when the disk runs low is the controller held up by the slowest rank.
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Spool, has_room
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting

CHUNK = 256 * 1024
WINDOW = wire.WINDOW  # bytes under way always find a place, in memory if need be
LIMIT = 1024 * 1024 * 1024  # bytes that a rank may leave unread before others have to wait for it


class RankStdin:
    """The bytes that one rank has not read yet, and the writing end of its pipe or terminal.

    Its fourteen attributes are three stores in a row (memory, disk, memory) and the counters for credit.

    Args:
        rank: its number.
        fd: the writing end, which must not block.
        path: file for bytes that have to wait, as for a `Spool`.
        terminal: whether it is a terminal: its end is a character, and closing it would hang up.

    Attributes:
        rank, fd, terminal: as above; fd is -1 once it is closed.
        pending: whether there are bytes to write, or the end.
        over: whether nobody reads, or the end was written; `close` it then.
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
        self._rest = b""  # goes after it: bytes for which the disk had no room
        self._received = 0
        self._written = 0
        self._granted = 0
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
        """Write the bytes that the rank takes now."""
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
            self._write_end()

    def _fill(self):
        if not self._next and self._unread:
            self._next = self._spool.read(self._read, CHUNK)
            self._read += len(self._next)
            self._spool.release(self._read)
        if not self._next and not self._unread:
            self._next, self._rest = self._rest, b""
        return self._next

    def _write_end(self):
        self._ended = False
        if not self.terminal:
            self.over = True
            return
        # Ctrl-D hands over what was typed; only with nothing typed since does it mean the end, see termios(3).
        self._next = b"\4" if self._last == b"\n" else b"\4\4"
        self._written -= len(self._next)
        self.flush()

    def credit(self):
        """Return the offset up to which bytes may be sent now, or 0 when it is the same as before."""
        if self.fd < 0 or self.over:
            upto = wire.UNLIMITED
        elif self._rest:
            return 0
        elif self._received - self._written < WINDOW or self._disk_has_room():
            upto = min(self._received + WINDOW, self._written + LIMIT)
        else:
            upto = self._written + WINDOW
        if self._granted == wire.UNLIMITED or upto < min(self._granted + WINDOW // 2, wire.UNLIMITED):
            return 0
        self._granted = upto
        return upto

    def _disk_has_room(self):
        try:
            disk = os.statvfs(os.path.dirname(self._path))
        except OSError:
            return False
        return has_room(disk)

    def close(self):
        """Drop the bytes that were not read."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._next = self._rest = b""
        self._spool.remove()
        self._read = self._spool.end


class Feeder:
    """Standard input of all ranks of a host: from frames to pipes, by one selector.

    Args:
        selector: each descriptor in it has as its data the function to call when it is ready.
        send: takes the bytes of a frame for the controller.
    """

    def __init__(self, selector, send):
        self._selector = selector
        self._send = send
        self._open = {}  # by rank
        self._watched = set()  # ranks

    def add(self, stdin):
        """Feed a rank that has started."""
        self._open[stdin.rank] = stdin
        self._send_credit(stdin)

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
        """Write the bytes that a rank takes, and send the credit that this gives."""
        stdin.flush()
        if stdin.over:
            self.drop(stdin.rank)
            return
        if stdin.pending != (stdin.rank in self._watched):
            self._watch(stdin, stdin.pending)
        self._send_credit(stdin)

    def drop(self, rank):
        """Feed a rank no more: it has ended, or reads nothing."""
        stdin = self._open.pop(rank, None)
        if stdin:
            self._watch(stdin, False)
            stdin.close()
            self._send_credit(stdin)

    def _watch(self, stdin, wanted):
        if wanted:
            self._watched.add(stdin.rank)
            self._selector.register(stdin.fd, selecting.EVENT_WRITE, lambda: self.feed(stdin))
        elif stdin.rank in self._watched:
            self._watched.discard(stdin.rank)
            self._selector.unregister(stdin.fd)

    def _send_credit(self, stdin):
        credit = stdin.credit()
        if credit:
            self._send(wire.encode(wire.CREDIT, b"", stdin.rank, credit))

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's two ends of the connection to the controller."""

from __future__ import annotations

import os
import select
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting

_BLOCK = 256 * 1024  # bytes in one write


class ControllerLink:
    """The connection to the controller: frames in, bytes out, and the signs that it is gone.

    Args:
        fd_in, fd_out: its ends, which must not block.
        clock: returns monotonic seconds.

    Attributes:
        fd_in, fd_out: as above.
        alive: whether the controller is there, as far as is known.
        heard: time of the last sign of life.
        writing: whether a selector waits until more can be sent.
    """

    def __init__(self, fd_in, fd_out, clock=time.monotonic):
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.alive = True
        self.heard = clock()
        self.writing = False
        self._clock = clock
        self._silent = False  # given up because nothing came for the lease
        self._decoder = wire.Decoder()
        self._out = bytearray(wire.MARKER)

    @property
    def backlog(self):
        """Bytes waiting to be sent."""
        return len(self._out) if self.alive else 0

    def send(self, data):
        """Send the bytes of frames, as soon as the connection takes them."""
        self._out += data

    def send_json(self, kind, message, rank=0):
        """Send a control message."""
        self.send(wire.encode_json(kind, message, rank))

    def warn(self, text):
        """Send a text for a person."""
        self.send_json(wire.WARNING, {"text": text})

    def receive(self):
        """Return the frames that have come; the end of the connection clears `alive`."""
        frames = []
        while self.alive:
            try:
                data = os.read(self.fd_in, 65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.alive = False
                break
            self.hear()
            frames += self._decoder.feed(data)
        return frames

    def hear(self):
        """Count the silence from now on: something has come, or nobody listened until now."""
        self.heard = self._clock()

    def give_up(self):
        """Treat the controller as gone: it was silent for too long."""
        self.alive, self._silent = False, True

    def close(self):
        """Let the controller see the end."""
        self.alive = False
        os.close(self.fd_in)
        os.close(self.fd_out)

    def broken(self):
        """Return whether the connection itself is gone, and not only the process at its other end."""
        poll = select.poll()
        poll.register(self.fd_out, 0)
        return self._silent or any(events & (select.POLLERR | select.POLLHUP) for _fd, events in poll.poll(0))

    def flush(self, wait=False):
        """Send the bytes that the connection takes now; with `wait`, all of them."""
        while self._out and self.alive:
            try:
                count = os.write(self.fd_out, self._out[:_BLOCK])
            except BlockingIOError:
                if not wait:
                    return
                select.select([], [self.fd_out], [])
                continue
            except OSError:
                self.alive = False
                return
            del self._out[:count]

    def watch(self, selector):
        """Let a selector wait until more can be sent, as long as bytes are waiting."""
        wanted = bool(self.backlog)
        if wanted == self.writing:
            return
        self.writing = wanted
        if wanted:
            selector.register(self.fd_out, selecting.EVENT_WRITE, _nothing)
        else:
            selector.unregister(self.fd_out)


def _nothing():
    """Do nothing: the supervisor sends in every turn, it only has to wake up."""

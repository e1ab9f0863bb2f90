# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of all ranks of a host, from their pipes to the controller: the twin of the stdin feeder."""

from __future__ import annotations

import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stream import CHUNK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting

BACKLOG = 4 * CHUNK  # bytes waiting for the link before more is left on disk


class OutputPump:
    """Read the ranks' pipes by one selector, and send as much as the link takes.

    Args:
        selector: each descriptor in it has as its data the function to call when it is ready.
        link: the `ControllerLink`.
        on_full: called once, with the reason, when output waits because there is no room for it.
        clock: returns monotonic seconds.
    """

    def __init__(self, selector, link, on_full, clock=time.monotonic):
        self._selector = selector
        self._link = link
        self._on_full = on_full
        self._clock = clock
        self._streams = []
        self._watched = {}  # stream: its descriptor in the selector
        self._was_full = False

    @property
    def drained(self):
        """Whether all streams have ended, and all of their output was given to the link."""
        return all(stream.drained for stream in self._streams)

    def add(self, streams):
        """Take the streams of a rank that has started, or that could not."""
        for stream in streams:
            self._streams.append(stream)
            if stream.fd >= 0:
                self._watch(stream)

    def pump(self):
        """Move output towards the link, every stream in turn, until the link has enough to do."""
        streams = self._streams
        while streams and self._link.alive and self._link.backlog < BACKLOG:
            streams = [stream for stream in streams if self._send(stream)]
            self._link.flush()

    def deadline(self):
        """Return the time at which the beginning of a line is sent that was kept back; None when there is none."""
        if not self._link.alive or self._link.backlog >= BACKLOG:
            return None
        return min((stream.tail_until for stream in self._streams if stream.tail_until), default=None)

    def drain(self, streams):
        """Read everything that is left in the pipes of a dead rank; its grandchildren may still hold them open."""
        for stream in streams:
            while stream.fd >= 0 and not stream.full and stream.read():
                self._send(stream)
            if stream.fd < 0:
                self._unwatch(stream)

    def send_once(self, streams):
        """Send a frame of each stream, so that it arrives before the frames to come."""
        for stream in streams:
            self._send(stream)

    def close(self):
        """Close all pipes, whose last writer is gone; those of a full disk are still to be read."""
        for stream in self._streams:
            self.drain([stream])
            if stream.fd >= 0 and not stream.full:
                self._unwatch(stream)
                stream.close()

    def acknowledge(self, rank, name, offset):
        """Release the output of a rank's stream below `offset`: it is safe on the controller."""
        next(stream for stream in self._streams if (stream.rank, stream.name) == (rank, name)).acknowledge(offset)

    def _read(self, stream):
        if stream.full:
            self._unwatch(stream)
            return
        stream.read()
        if stream.fd < 0 or stream.full:
            self._unwatch(stream)
        if stream.full and not self._was_full:
            self._was_full = True
            self._on_full(stream.problem)

    def _send(self, stream):
        was_full = stream.full
        frame = stream.next_frame(self._clock(), self._link.backlog > 0)
        if frame:
            self._link.send(frame)
        if was_full and not stream.full and stream.fd >= 0:
            self._watch(stream)
        return bool(frame)

    def _watch(self, stream):
        if stream not in self._watched:
            self._watched[stream] = stream.fd
            self._selector.register(stream.fd, selecting.EVENT_READ, lambda: self._read(stream))

    def _unwatch(self, stream):
        if stream in self._watched:
            self._selector.unregister(self._watched.pop(stream))

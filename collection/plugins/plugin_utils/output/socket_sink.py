# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that launched a job as a sink."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ...module_utils.shared import wire
from ..job.events import Event
from .sinks import BACKLOG, STREAM_NAMES, Sink
from .writer import Writer

_KINDS = {name: kind for kind, name in STREAM_NAMES.items()}


class SocketSink(Sink):
    """The job's private socket, at whose other end the process that called `start_job` reads.

    Args:
        connection: connected, blocking.
        wake: see `Writer`.
    """

    def __init__(self, connection: socket.socket, wake: Callable[[], None]) -> None:
        self._writer = Writer(connection.sendall, wake)
        self._waiting: dict[tuple[int, int], bytes] = {}  # frames that a reader far behind does not get yet, by kind and rank

    def forward(self, frame: bytes) -> None:
        kind, rank, _offset, _length = wire.HEADER.unpack_from(frame)
        self._waiting[kind, rank] = frame
        self._send_waiting()

    def tick(self, now: float) -> None:  # noqa: ARG002 - as in its base
        if self._waiting:
            self._send_waiting()

    def _send_waiting(self) -> None:
        if self._writer.size <= BACKLOG:
            frames, self._waiting = self._waiting, {}
            self._writer.put(b"".join(frames.values()))

    def event(self, event: Event) -> None:
        self._writer.put(wire.encode_json(wire.EVENT, event.to_json()))

    def output(self, event: Event, payload: bytes) -> None:
        # The event without its bytes first, then the bytes as they are.
        rank, details = event.rank or 0, event.details
        frame = wire.encode(_KINDS[details["stream"]], payload, rank, details["offset"])
        self._writer.put(wire.encode_json(wire.EVENT, event.to_json()) + frame)

    @property
    def backlog(self) -> int:
        return self._writer.size

    @property
    def broken(self) -> bool:
        return self._writer.broken

    def close(self) -> None:
        self._writer.close()

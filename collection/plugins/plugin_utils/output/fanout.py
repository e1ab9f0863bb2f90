# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All the sinks of a job as one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from ..job.events import Event
from .sinks import Sink


class Fanout(Sink):
    """A sink that passes events and output on to each of several.

    Args:
        sinks: in the order in which they get an event.
    """

    def __init__(self, sinks: Iterable[Sink] = ()) -> None:
        self._sinks = list(sinks)

    def add(self, sink: Sink) -> None:
        """Send later events and output to this sink as well."""
        self._sinks.append(sink)

    def event(self, event: Event) -> None:
        for sink in self._sinks:
            sink.event(event)

    def output(self, event: Event, payload: bytes) -> None:
        for sink in self._sinks:
            sink.output(event, payload)

    def forward(self, frame: bytes) -> None:
        for sink in self._sinks:
            sink.forward(frame)

    def tick(self, now: float) -> None:
        for sink in self._sinks:
            sink.tick(now)

    def deadline(self) -> float | None:
        return min((due for sink in self._sinks if (due := sink.deadline()) is not None), default=None)

    @property
    def backlog(self) -> int:
        """Bytes that the slowest reader has not taken yet."""
        return max((sink.backlog for sink in self._sinks), default=0)

    @property
    def broken(self) -> bool:
        """Whether any reader is gone."""
        return any(sink.broken for sink in self._sinks)

    @property
    def late(self) -> bool:
        """Whether a reader has not got everything yet."""
        return any(sink.late for sink in self._sinks)

    def safe(self) -> list[tuple[int, str, int]]:
        return [each for sink in self._sinks for each in sink.safe()]

    def warnings(self) -> list[str]:
        return [text for sink in self._sinks for text in sink.warnings()]

    def close(self) -> None:
        """Close all sinks, the last one first, though one of them fail."""
        with contextlib.ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)

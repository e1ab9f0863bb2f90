# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of output in the logs, as lines of events.jsonl that cost less than the output. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...job.events import Event
from ..escape import json_text

# A line has about 170 bytes. One is written for so many bytes of output, or for less after the longest wait.
_WORTH_A_LINE = 1024
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds


@dataclass(frozen=True)
class _Span:
    first: Event
    offset: int
    length: int


class OutputIndex:
    """The output of a job for which there is no line yet: a span of each log."""

    def __init__(self) -> None:
        self._spans: dict[tuple[int | None, str | None], _Span] = {}
        self._since = 0.0
        self._size = 0

    def add(self, event: Event, offset: int, length: int, now: float) -> None:
        """Take notice of output.

        Args:
            event: its event, whose time counts when it is the first of its span.
            offset: the place of its first byte in the log, which follows that of the last one.
            length: the number of its bytes.
            now: monotonic seconds.
        """
        if not self._spans:
            self._since = now
        source = (event.rank, event.stream)
        span = self._spans.get(source) or _Span(event, offset, 0)
        self._spans[source] = replace(span, length=span.length + length)
        self._size += length

    def lines(self) -> bytes:
        """Return a line for each span in the order of their beginnings, and forget them."""
        events = (
            replace(span.first, details={**span.first.details, "offset": span.offset, "length": span.length})
            for span in self._spans.values()
        )
        lines = b"".join(map(line_of, events))
        self._spans, self._size = {}, 0
        return lines

    def deadline(self) -> float | None:
        """Return when lines are due, or None without output."""
        if not self._spans:
            return None
        return self._since + (_SHORTEST if self._size >= _WORTH_A_LINE * len(self._spans) else _LONGEST)


def line_of(event: Event) -> bytes:
    """Return an event as a line of events.jsonl."""
    return json_text(event.to_json()).encode() + b"\n"

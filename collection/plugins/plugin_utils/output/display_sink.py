# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's own display as a sink."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from typing import Any

from ..job.events import Event
from .line_merger import LineMerger, split_lines
from .sinks import Sink
from .terminal_sink import Describe, Prefix, as_bytes
from .writer import Writer


class DisplaySink(Sink):
    """Ansible's own display, for any stdout callback. It takes text, so bytes that are no UTF-8 are replaced.

    Args:
        show: `Display().display`, called with text and newline, from a thread: it waits for whoever reads the output.
        describe, prefix: as for `TerminalSink`.
        wake: see `Writer`.
        whole_lines: show complete lines only, for a display that ends each piece with a newline.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        show: Callable[..., None],
        describe: Describe,
        prefix: Prefix,
        wake: Callable[[], None],
        *,
        whole_lines: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._describe = describe
        self._whole_lines = whole_lines
        self._clock = clock
        self._line = b""
        self._merger = LineMerger(prefix)
        self._writer = Writer(self._display, wake, clock)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def event(self, event: Event) -> None:
        text = self._describe(event)
        if text:
            self._feed(("launch", 1), as_bytes(text) + b"\n")

    def output(self, event: Event, payload: bytes) -> None:
        self._feed((event.rank, event.stream), payload)

    def _feed(self, source: Any, data: bytes) -> None:
        self._merger.postpone(self._writer.behind())
        self._put(self._merger.feed(source, data, self._clock()))

    def _put(self, data: bytes) -> None:
        if self._whole_lines:
            data, self._line = split_lines(self._line + data)
        self._writer.put(data)

    def _display(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if text:
            self._show(text, newline=False)

    def tick(self, now: float) -> None:
        self._merger.postpone(self._writer.behind())
        self._put(self._merger.tick(now))

    def deadline(self) -> float | None:
        self._merger.postpone(self._writer.behind())
        due = self._merger.deadline()
        return due if due is None or not self._writer.size else max(due, self._clock() + self._merger.hold)

    @property
    def backlog(self) -> int:
        return self._writer.size + self._merger.waiting if self._writer.size else 0

    @property
    def broken(self) -> bool:
        return self._writer.broken

    def close(self) -> None:
        self._put(self._merger.finish())
        self._writer.put(self._line)
        self._writer.close()
        if not self._writer.size and (rest := self._decoder.decode(b"", final=True)):
            self._show(rest, newline=False)

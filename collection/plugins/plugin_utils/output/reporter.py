# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a job's events: gives them the job's id and the time, and sends them to the sinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...module_utils.shared.credentials import recordable
from ..job.events import KINDS, Event
from .sinks import Sink


class Reporter:
    """The one place where events of a job are made.

    Args:
        job: the job's id.
        fanout: the sinks; one alone will do as well.
        clock: gives the time of an event, in seconds since 1970.
    """

    def __init__(self, job: str, fanout: Sink, clock: Callable[[], float] = time.time) -> None:
        self._job = job
        self._fanout = fanout
        self._clock = clock

    def emit(self, kind: str, /, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        """Send an event to the sinks, without credentials in addresses.

        Raises:
            ValueError: `kind` is none of `KINDS`.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of event: {kind}")
        self._fanout.event(Event(kind, self._job, self._clock(), host, rank, details=recordable(details)))

    def output(self, host: str, rank: int, stream: str, offset: int, payload: bytes) -> None:
        """Send a rank's bytes, and their rank_output event, to the sinks.

        Args:
            host, rank: of the rank.
            stream: `stdout` or `stderr`.
            offset: bytes of the stream that came before.
            payload: the bytes.
        """
        details = {"stream": stream, "offset": offset, "length": len(payload)}
        self._fanout.output(Event("rank_output", self._job, self._clock(), host, rank, payload, details), payload)

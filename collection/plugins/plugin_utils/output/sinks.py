# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places that a job's events and output go to.

A sink takes events and output and never waits: bytes that its reader does not take yet stand in a queue of its own. A
reader that is far behind gets the rest from the record (`catch_up`). When the record cannot be written, its `backlog`
makes the gang leave further output where it is, on the hosts.
"""

from __future__ import annotations

from ...module_utils.shared import wire
from ..job.events import Event

STREAM_NAMES = {wire.STDOUT: "stdout", wire.STDERR: "stderr"}
#: Bytes that may stand in the queue of a sink.
BACKLOG = 4 * 1024 * 1024


class Sink:
    """A place that events and output go to. This one drops them, is never behind, and never breaks."""

    def event(self, event: Event) -> None:
        """Take one event other than output."""

    def output(self, event: Event, payload: bytes) -> None:
        """Take a rank's bytes, as they are to appear; `event` is their rank_output event."""

    def forward(self, frame: bytes) -> None:
        """Take a frame for the process that launched the job; other readers have no use for it.

        It holds for its kind and rank until the next one, which takes its place when it was not written yet.
        """

    def tick(self, now: float) -> None:
        """Do the work that is due at `now`, monotonic seconds."""

    def deadline(self) -> float | None:
        """Return when `tick` is due, or None."""
        return None

    @property
    def backlog(self) -> int:
        """Bytes that the reader has not taken yet."""
        return 0

    @property
    def broken(self) -> bool:
        """Whether the reader is gone."""
        return False

    @property
    def late(self) -> bool:
        """Whether the reader has not got everything yet."""
        return False

    def safe(self) -> list[tuple[int, str, int]]:
        """Return (rank, stream, offset) for output that is on the disk up to an offset, since the last call."""
        return []

    def warnings(self) -> list[str]:
        """Return the warnings for a person since the last call."""
        return []

    def close(self) -> None:
        """Deliver the rest, for as long as the reader takes it."""

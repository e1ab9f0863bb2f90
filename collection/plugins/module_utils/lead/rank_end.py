# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a rank, as numbers and as text."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RankEnd:
    """The end of one rank.

    Attributes:
        rank, host: its number and its host.
        code: its exit code, 0 when a signal ended it.
        signal: the signal that ended it, or 0.
        duration: seconds from the go on its host to its end.
        signal_name: that signal's name on its host, such as SIGKILL, or None; numbers differ between systems.
        stopped: whether it ended after a request to.
        error: the reason for which it could not be started at all, or "".
    """

    rank: int
    host: str
    code: int
    signal: int
    duration: float
    stopped: bool
    error: str = ""
    signal_name: str | None = None

    @classmethod
    def from_wire(cls, rank: int, host: str, how: Mapping[str, Any]) -> RankEnd:
        """Return the end in a supervisor's EXITED message."""
        name = (how.get("signal_name") or signal_name(how["signal"])) if how["signal"] else None
        return cls(rank, host, how["code"], how["signal"], how["at"], how["stopped"], how.get("error", ""), name)

    def details(self) -> dict[str, Any]:
        """Return the end as the `rank_exited` event has it."""
        return {
            "returncode": self.returncode,
            "signal": self.signal_name,
            "duration": round(self.duration, 3),
            "stopped": self.stopped,
            "error": self.error,
        }

    @property
    def failed(self) -> bool:
        """Whether this is not an exit with code 0."""
        return bool(self.code or self.signal)

    @property
    def returncode(self) -> int:
        """The exit status as a shell counts it: 128 + n for signal n."""
        return 128 + self.signal if self.signal else self.code


def signal_name(number: int) -> str:
    """Return a signal's name, or its number where this machine has no name for it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def describe_end(end: RankEnd) -> str:
    """Return one line for a person: the rank, its host, its end, and the time until then."""
    if end.error:
        return f"rank {end.rank} on {end.host}: {end.error}"
    how = f"was killed by {end.signal_name}" if end.signal else f"exited with code {end.code}"
    return f"rank {end.rank} on {end.host} {how} after {end.duration:.1f} s"

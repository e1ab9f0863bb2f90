# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time limits of a job, its timers, and the limit of what one host may say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The time limits of a job, in seconds.

    Attributes:
        grace: between TERM and KILL.
        lease: silence after which either side gives the other up.
        connect: from opening a channel until the host is ready.
        timeout: how long the ranks may run; 0 for no limit.
        recover: how long to try to reach a host again after its channel broke.
    """

    grace: float = 10.0
    lease: float = 30.0
    connect: float = 30.0
    timeout: float = 0.0
    recover: float = 10.0


# The timers of a job: hosts are pinged, a person is told the reason for a wait, the ranks have had their time.
TIME_LIMIT, NOTICE, PING = "time limit", "notice", "ping"

# Seconds of waiting before the first notice, and between two.
PATIENCE = 2.0
NOTICE_EVERY = 5.0


class Timers:
    """The timers of a job that do not belong to one host.

    Args:
        limits: its times.
        now: monotonic seconds, as for every method that takes them.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._every = {PING: limits.lease / 3, NOTICE: NOTICE_EVERY}
        self._at: dict[str, float] = {}
        self.on_opening(now)

    def on_opening(self, now: float) -> None:
        """Hosts are asked whether they are ready."""
        self._at = {NOTICE: now + PATIENCE, PING: now + self._limits.lease / 3}

    def on_go(self, now: float) -> None:
        """The ranks begin to run: their time counts, and nobody waits."""
        del self._at[NOTICE]
        if self._limits.timeout:
            self._at[TIME_LIMIT] = now + self._limits.timeout

    def on_stop(self, now: float) -> None:
        """The ranks are being ended."""
        self._at.pop(TIME_LIMIT, None)
        self._at[NOTICE] = now + PATIENCE

    def on_end(self) -> None:
        """The job is over: nobody waits."""
        self._at.pop(NOTICE, None)

    def due(self, now: float) -> list[str]:
        """Return the timers that are due, and set those that repeat anew."""
        due = [timer for timer in (TIME_LIMIT, NOTICE, PING) if now >= self._at.get(timer, now + 1)]
        for timer in due:
            self._at.pop(timer)
            if timer in self._every:
                self._at[timer] = now + self._every[timer]
        return due

    @property
    def deadline(self) -> float:
        """When the next timer is due."""
        return min(self._at.values())


# Texts of one host that pass at once, seconds until another one may, and characters of one.
TEXTS = 50
NEXT_TEXT = 10.0
LONGEST_TEXT = 8000


class Texts:
    """The texts of one host for a person: so many that nobody, and no record, drowns in them.

    Args:
        now: monotonic seconds, as for every method that takes them.
    """

    def __init__(self, now: float) -> None:
        self._left = float(TEXTS)
        self._at = now
        self.dropped = 0

    def pass_on(self, text: str, now: float) -> str | None:
        """Return the text as it may go on, cut, and with the number of those left out before; None if it may not."""
        self._left, self._at = min(float(TEXTS), self._left + (now - self._at) / NEXT_TEXT), now
        if self._left < 1:
            self.dropped += 1
            return None
        self._left -= 1
        cut = text if len(text) <= LONGEST_TEXT else "%s... (%d characters more)" % (text[:LONGEST_TEXT], len(text) - LONGEST_TEXT)
        dropped, self.dropped = self.dropped, 0
        return cut + (" (%d more were left out before)" % dropped if dropped else "")

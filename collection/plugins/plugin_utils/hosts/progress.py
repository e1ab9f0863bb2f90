# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a person learns which hosts are being waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

Emit = Callable[..., None]  # kind of event, host, details
Text = Callable[[Sequence[str], Mapping[str, str]], str]  # hosts that are not done, and the last news of each

_NAMED = 4  # hosts


class ProgressThrottle:
    """Reports progress now and then, at first not at all.

    Args:
        emit: takes events.
        patience: seconds until the first report.
        every: seconds between two.
        clock: monotonic seconds.
    """

    def __init__(self, emit: Emit, patience: float = 2.0, every: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._every = every
        self._clock = clock
        self._due = clock() + patience

    def update(self, text: str, hosts: Sequence[str] = ()) -> None:
        """Report it, if it is time to."""
        now = self._clock()
        if now >= self._due:
            self._due = now + self._every
            self._emit("waiting", text=text, hosts=list(hosts))


def doing(activity: str) -> Text:
    """Return the text of a round: its activity, the hosts at it, and news of one of them."""

    def text(pending: Sequence[str], news: Mapping[str, str]) -> str:
        named = ", ".join(pending[:_NAMED]) + (f" and {len(pending) - _NAMED} more" if len(pending) > _NAMED else "")
        latest = next((news[host] for host in pending if news.get(host)), "")
        return f"{activity} {named}: {latest}" if latest else f"{activity} {named}"

    return text

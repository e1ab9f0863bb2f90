# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: when to tell a person what is being waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class Word:
    """Tells a person what is going on: nothing at first, then now and then.

    Args:
        report: told events: name, host, details.
        patience: seconds until the first word.
        every: seconds between two.
    """

    def __init__(self, report: Callable[..., None], patience: float = 2.0, every: float = 10.0) -> None:
        self._report = report
        self._every = every
        self._due = time.monotonic() + patience

    def say(self, text: str, hosts: Sequence[str] = ()) -> None:
        """Tell it, if it is time to."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every
            self._report("waiting", text=text, hosts=list(hosts))

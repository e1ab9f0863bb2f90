# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the clock of a host is off."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...hosts.agents import Agent

_TRIES = 3


def read_clock(agent: Agent, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> tuple[float, float]:
    """Return (uncertainty, offset) of a host's clock in seconds, by the quickest of a few answers.

    Args:
        agent: of the host.
        wall: the controller's clock, seconds since 1970.
        steady: measures how long an answer takes.
    """
    tries = []
    for _try in range(_TRIES):
        asked, before = wall(), steady()
        there = agent.call("clock")
        took = steady() - before
        tries.append((took / 2, there - asked - took / 2))
    return min(tries)

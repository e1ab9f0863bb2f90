# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a range of ports that is free on every host. Pure.

Every host is asked for a few ranges at once and keeps its part of those that are free; the first that all have is
taken. Which ranges are asked for depends on the job's id, so that jobs which start at the same moment ask for different
ones.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..job.errors import UsageError
from ..job.settings import BY_NAME

# Above what services are registered for, below what Linux and macOS give to outgoing connections.
FIRST, LAST = 20000, 32000
_TRIES = 6


def ranges(job: str, width: int) -> list[int]:
    """Return the first ports of ranges to ask for, best first; they do not overlap.

    Args:
        job: its id.
        width: number of ports in a range.
    """
    blocks = (LAST - FIRST) // width
    if not blocks:
        raise UsageError(
            f"{width} ports are needed, and auto looks for them between {FIRST} and {LAST}; give a {BY_NAME['starting_port'].shown}"
        )
    chosen = random.Random(job).sample(range(blocks), min(_TRIES, blocks))  # noqa: S311 - to differ, not to be secret
    return [FIRST + block * width for block in chosen]


@dataclass(frozen=True)
class PortRange:
    """The choice of a range.

    Attributes:
        bases: first ports of the ranges that hosts were asked for; the job is planned with the first of them.
    """

    bases: Sequence[int]

    @property
    def shifts(self) -> list[int]:
        """The distance of each range from the ports of the plan."""
        return [base - self.bases[0] for base in self.bases]

    def shift(self, facts: Mapping[str, Mapping[str, Any]]) -> int | None:
        """Return the distance of the first range that every host has, None when there is none.

        Args:
            facts: of each host, with the `shifts` it has.
        """
        return next((shift for shift in self.shifts if all(shift in known["shifts"] for known in facts.values())), None)

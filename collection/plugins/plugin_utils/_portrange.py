# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: a range of ports that is free on every host. Pure.

Every host is asked for a few ranges at once and keeps its part of those that are free; the first that all have is taken.
Which ranges are asked for depends on the job's id, so that jobs which start at the same moment ask for different ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._errors import UsageError
from ._policy import Settled

if TYPE_CHECKING:
    from ._plan import JobPlan

# Above what services are registered for, below what Linux and macOS give to outgoing connections.
FIRST, LAST = 20000, 32000
_TRIES = 6


def ranges(job: str, width: int) -> list[int]:
    """Return the first ports of ranges to ask for, best first; they do not overlap.

    Args:
        job: its id.
        width: how many ports are needed.
    """
    blocks = (LAST - FIRST) // width
    if not blocks:
        raise UsageError(f"{width} ports are needed, and auto looks for them between {FIRST} and {LAST}; give a --starting-port")
    chosen = random.Random(job).sample(range(blocks), min(_TRIES, blocks))  # noqa: S311 - to differ, not to be secret
    return [FIRST + block * width for block in chosen]


@dataclass(frozen=True)
class PortRange:
    """The choice of a range.

    Attributes:
        bases: first ports of the ranges that hosts were asked for; the job is planned with the first of them.
        replan: returns the plan for another.
    """

    bases: Sequence[int]
    replan: Callable[[int], JobPlan]

    @property
    def shifts(self) -> list[int]:
        """What has to be added to the ports of the plan to get into each range."""
        return [base - self.bases[0] for base in self.bases]

    def settle(self, facts: Mapping[str, Mapping[str, Any]], chosen: Callable[[JobPlan], None]) -> Settled:
        """Return which range is used, as the go of each host; or that there is none.

        Args:
            facts: of each host, with the `shifts` it has.
            chosen: called with the plan that it comes to, when it is not the one the hosts know.
        """
        shift = next((shift for shift in self.shifts if all(shift in known["shifts"] for known in facts.values())), None)
        if shift is None:
            text = f"no range of ports is free on every host among {len(self.bases)} that were tried; try again, or give a --starting-port"
            return Settled({host: [text] for host in facts})
        if not shift:
            return Settled()
        plan = self.replan(self.bases[0] + shift)
        chosen(plan)
        return Settled(go={host: {"shift": shift, **_decided(spec)} for host, spec in plan.specs.items()})


def _decided(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host did not know when it was asked whether it is ready."""
    return {"files": spec["files"], "env": {str(rank["rank"]): rank["env"] for rank in spec["ranks"]}}

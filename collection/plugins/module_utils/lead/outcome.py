# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a job: the ends of its ranks, the one to blame, and the cause of the job's own end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Optional

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd, describe_end
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.exit_status import EXIT_INTERNAL

# Seconds by which the go may reach one host later than another.
SKEW = 0.1

# Kinds of causes that are, or may turn out to be, the failure of a rank.
_FROM_RANKS = ("rank_failed", "mpirun_failed")


@dataclass(frozen=True)
class Cause:
    """The cause of a job's early end.

    Attributes:
        kind: for programs, such as `rank_failed`.
        returncode: the exit status of the job.
        message: one line for a person.
    """

    kind: str
    returncode: int
    message: str


def cause_of(end: RankEnd) -> Cause:
    """Return the failure of a rank as the cause of the job's end."""
    return Cause("rank_failed", end.returncode, describe_end(end))


def first_of(ends: Iterable[RankEnd]) -> RankEnd | None:
    """Return the earliest of some ends, None of none.

    When a rank dies its neighbours fail too, and over a slow link their news may come first. So each host's own clock
    counts, from its go. The go does not reach all hosts at once either: within the skew, the order of the news counts.

    Args:
        ends: in the order in which their news came.
    """
    first = None
    for end in ends:
        if first is None or end.duration < first.duration - SKEW:
            first = end
    return first


# Returns the end that is to blame, among those of ranks that failed by themselves, in the order of their news.
Blame = Callable[[Iterable[RankEnd]], Optional[RankEnd]]


class JobOutcome:
    """The ends of a job's ranks, and the end of the job that follows from them.

    Args:
        world_size: the number of ranks.
        blame: chooses the failure that is to blame.

    Attributes:
        ends: by rank.
        cause: of the job's early end, None when there is none so far.
    """

    def __init__(self, world_size: int, blame: Blame = first_of) -> None:
        self.ends: dict[int, RankEnd] = {}
        self.cause: Cause | None = None
        self._world_size = world_size
        self._blame = blame

    def add(self, end: RankEnd) -> bool:
        """Add the end of a rank; return whether it is news, as a rank ends once."""
        return self.ends.setdefault(end.rank, end) is end

    @property
    def complete(self) -> bool:
        """Whether all ranks have ended."""
        return len(self.ends) == self._world_size

    @property
    def first_failure(self) -> RankEnd | None:
        """The failure that is to blame, None when no rank failed by itself."""
        return self._blame([end for end in self.ends.values() if end.failed and not end.stopped])

    def blame(self, end: RankEnd) -> None:
        """Make a rank's failure the cause, unless the job ends for a reason that is not in its ranks."""
        if self.cause and self.cause.kind in _FROM_RANKS:
            self.cause = cause_of(end)

    @property
    def returncode(self) -> int:
        """The exit status of the whole job."""
        failure = self.first_failure
        if self.cause and self.cause.kind not in _FROM_RANKS:
            return self.cause.returncode
        if failure:
            return failure.returncode
        if self.cause:
            return self.cause.returncode
        return 0 if self.complete else EXIT_INTERNAL

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for a launch: everything that its plan depends on, but for the deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...module_utils.lead.rank_table import RankTable
from ..job.errors import UsageError
from ..job.host_settings import HostSettings
from ..job.rank_table import RankPlace
from ..job.settings import JobSettings
from ..plan.record import rank_differences
from ..plan.stdin_readers import readers

if TYPE_CHECKING:
    from ..deploy.project import Project


@dataclass(frozen=True)
class LaunchRequest:
    """A job as it was asked for.

    Attributes:
        job: its id.
        settings: those for all hosts.
        hosts: those for each host.
        places: where each rank will be, in rank order. Found once: a name may resolve to another address the next time.
        default_python, default_cwd: for hosts that name none.
        default_stdin: the ranks that read standard input by default (all or none); None if nobody can send any.
        screen: (columns, lines) of the terminal, when known.
        term: its kind, as in TERM; empty when not known.
        inventory: where the hosts come from, for the record.
        outputs: (device, inode) of each file that the launching process writes to, which is no part of a project.
    """

    job: str
    settings: JobSettings
    hosts: Sequence[HostSettings]
    places: Sequence[RankPlace]
    default_python: str
    default_cwd: str
    default_stdin: str | None = None
    screen: tuple[int, int] | None = None
    term: str = ""
    inventory: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[tuple[int, int]] = ()

    @property
    def local(self) -> bool:
        """Whether all ranks run on this machine."""
        return all(host.local for host in self.hosts)

    @cached_property
    def project(self) -> Project | None:
        """The project to deploy, or None."""
        if not self.settings.sync or self.local:
            return None
        from ..deploy.scan import wanted_project  # late: nothing else before the start needs it

        return wanted_project(self.settings, self.outputs)

    @cached_property
    def project_digest(self) -> str:
        """The digest of the project's files here, or nothing; read once, though the record may be written again."""
        from ..deploy.scan import project_now  # late, as above

        return project_now(self.settings, self.outputs)

    @property
    def wants_environment(self) -> bool:
        """Whether an environment is to be deployed."""
        return bool(self.settings.sync and self.settings.environment)

    @property
    def brings(self) -> bool:
        """Whether anything is to be brought to hosts before the ranks start."""
        return bool(self.project or self.wants_environment)

    def readers(self, world_size: int) -> tuple[int, ...]:
        """Return the ranks that read standard input."""
        return () if self.default_stdin is None else readers(self.settings, self.default_stdin, world_size)


def check_same_ranks(before: Sequence[Mapping[str, Any]] | None, table: RankTable) -> None:
    """Raise UsageError if the ranks of an earlier run, which this one is to repeat, were elsewhere."""
    if before and (different := rank_differences(before, table)):
        raise UsageError(f"the hosts are not what they were in that run: {'; '.join(different)}")

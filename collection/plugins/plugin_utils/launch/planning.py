# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a launch, which is all that must be known before its hosts are reached."""

from __future__ import annotations

from ..hosts.bootstrap import host_sources
from ..job.deployed import Deployed
from ..plan.plan import JobPlan, plan_job
from ..plan.stdin_readers import with_stdin
from .request import LaunchRequest


def plan(request: LaunchRequest, deployed: Deployed | None = None) -> JobPlan:
    """Return the plan of a job.

    Args:
        request: the job.
        deployed: what is on the hosts, where that counts.
    """
    planned = plan_job(
        request.job,
        request.settings,
        request.hosts,
        request.places,
        sources=host_sources(),
        default_python=request.default_python,
        default_cwd=request.default_cwd,
        terminal=request.screen,
        deployed=deployed,
    )
    readers = request.readers(planned.table.world_size)
    return with_stdin(planned, readers, tty=request.settings.tty, screen=request.screen, term=request.term)

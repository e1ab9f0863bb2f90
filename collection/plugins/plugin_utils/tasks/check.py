# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the check action."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..caller.cancellation import StopSources
from ..check.gather import Gather
from ..check.outcome import check_result
from ..check.rules.assess import assess
from ..deploy.environments import environment_from
from ..deploy.parts.project import ProjectPart
from ..deploy.scan import wanted_project
from ..hosts.bootstrap import host_sources
from ..hosts.progress import Emit
from ..hosts.subprocesses import Cancelled
from ..job.deployed import Deployed
from ..job.host_settings import HostSettings
from ..job.settings import JobSettings
from ..plan.plan import JobPlan, plan_job, with_addresses
from .task import Task


class CheckTask(Task):
    """One check of all hosts."""

    def _run(self) -> dict[str, Any]:
        settings = self._check(job=False)
        gather = self._gather(settings, self._hosts.members(settings.group))
        started = time.monotonic()
        with self._reporting(settings) as emit:
            result = self._carry_out(gather, settings, emit)
            self._warn_of_hosts(emit, settings.group)
            result["duration"] = round(time.monotonic() - started, 3)
            emit("check_finished", width=(self._terminal_size() or (None,))[0], **result)
        return result

    def _gather(self, settings: JobSettings, hosts: Sequence[HostSettings]) -> Gather:
        rank_places = self._places(hosts, settings.backend)

        def plan(deployed: Deployed, addresses: Mapping[str, str]) -> JobPlan:
            return plan_job(
                self.job,
                settings,
                hosts,
                with_addresses(rank_places, addresses),
                sources=host_sources(),
                default_python=self._request.default_python,
                default_cwd=self._request.default_cwd,
                deployed=deployed,
            )

        access = self._hosts.access_of(hosts, settings)
        environment = environment_from(settings) if settings.environment else None
        return Gather(settings, hosts, access, plan, environment, _project(settings, hosts, self._request.outputs))

    def _carry_out(self, gather: Gather, settings: JobSettings, emit: Emit) -> dict[str, Any]:
        with StopSources(self._control) as stops, stops.watch(gather.stop) as watch, contextlib.suppress(Cancelled):
            gather.run(emit)
        facts = gather.facts
        rows = [] if watch.cause else assess(facts, settings.backend, dry_run=self._request.dry_run)
        return check_result(rows, watch.cause, facts)


def _project(settings: JobSettings, hosts: Sequence[HostSettings], outputs: Sequence[tuple[int, int]]) -> ProjectPart | None:
    """Return the project that hosts are to have, None when they need none or are this machine."""
    wanted = wanted_project(settings, outputs) if settings.sync and not all(host.local for host in hosts) else None
    if not wanted:
        return None
    part = ProjectPart(wanted, settings.script)
    part.scan(Deployed())
    return part

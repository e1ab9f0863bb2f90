# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the prepare action."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ..caller.cancellation import StopSources
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit
from ..hosts.root import root_fleet
from ..hosts.subprocesses import Cancelled
from ..job.host_settings import HostSettings
from ..job.settings import JobSettings, check_settings
from ..prepare.items import wishes_of
from ..prepare.outcome import prepare_result, stopped_result
from ..prepare.run import PrepareRun
from ..prepare.work import OPTIONS, Work, check_work
from .request import TaskContext
from .task import Task, refuse_unknown

_SETTINGS = ("group", "python", "connect_timeout", "lease", "verbose")


class PrepareTask(Task):
    """One preparation of all hosts."""

    own_options = OPTIONS

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        refuse_unknown("prepare", context.options, (*OPTIONS, *_SETTINGS, "hostfile", "control"))
        return super().of(context)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._request.options, job=False)
        work = check_work(self._request.own, dry_run=self._request.dry_run)
        run = self._make_run(settings, work, self._hosts.members(settings.group))
        started = time.monotonic()
        with self._reporting(settings) as emit:
            result = self._carry_out(run, emit)
            result["duration"] = round(time.monotonic() - started, 3)
            emit("prepare_finished", **result)
        return result

    def _make_run(self, settings: JobSettings, work: Work, hosts: Sequence[HostSettings], fleet: Fleet | None = None) -> PrepareRun:
        """Return the run; `fleet` is the hosts, by default those of the inventory."""
        # Variables of each host count: Macs of one cluster differ in memory.
        wishes = {host.name: wishes_of(self._request.own, self._hosts.variables(host.name), host.name) for host in hosts}
        pythons = {host.name: settings.python or host.python or self._request.default_python for host in hosts}

        def root(chosen: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
            return root_fleet(self._hosts.access_of([host for host in hosts if host.name in chosen], settings, become=True), settings)

        # As the user who connects: most looks find nothing to change, and need no root.
        fleet = fleet or Fleet(self._hosts.access_of(hosts, settings, become=False), settings)
        return PrepareRun(fleet, root, wishes, pythons, work)

    def _carry_out(self, run: PrepareRun, emit: Emit) -> dict[str, Any]:
        with StopSources(self._control) as stops, stops.watch(run.stop) as watch, contextlib.suppress(Cancelled):
            outcome = run.run(emit)
        if watch.cause:
            return stopped_result(watch.cause.returncode, watch.cause.kind, watch.cause.message, begun=run.begun)
        return prepare_result(outcome)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the network action."""

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
from ..network.gather import Probe
from ..network.outcome import look_at, network_result, stopped_result
from ..network.plan.wishes import NAMES, Wishes, check_wishes
from ..network.run import NetworkRun
from .request import TaskContext
from .task import Task, refuse_unknown

_SETTINGS = ("group", "connect_timeout", "lease", "verbose")


class NetworkTask(Task):
    """One look at the network of all hosts, and the work on it that is wished for."""

    own_options = NAMES

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        refuse_unknown("network", context.options, (*NAMES, *_SETTINGS, "hostfile", "control"))
        return super().of(context)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._request.options, job=False)
        wishes = check_wishes(self._request.own)
        hosts = self._hosts.members(settings.group)
        run = self._make_run(settings, wishes, hosts)
        started = time.monotonic()
        with self._reporting(settings) as emit:
            result = self._carry_out(run, wishes, emit)
            result["duration"] = round(time.monotonic() - started, 3)
            emit("network_finished", **result)
        return result

    def _make_run(self, settings: JobSettings, wishes: Wishes, hosts: Sequence[HostSettings], fleet: Fleet | None = None) -> NetworkRun:
        """Return the run; `fleet` is the hosts, by default those of the inventory."""
        # As the user who connects: sudo would hide which address that connection has.
        fleet = fleet or Fleet(self._hosts.access_of(hosts, settings, become=False), settings)
        ssh = {host.name: self._hosts.ssh_name(host) for host in hosts}
        names = [name for host in hosts for name in (host.address, ssh[host.name].rpartition("@")[2])]

        def root(chosen: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
            return root_fleet(self._hosts.access_of([host for host in hosts if host.name in chosen], settings, become=True), settings)

        return NetworkRun(
            fleet,
            Probe(settings, {}, fleet),
            root,
            wishes,
            lambda answers: look_at(answers, wishes, ssh, names),
            {host.name: host.python or self._request.default_python for host in hosts},
            dry_run=self._request.dry_run,
        )

    def _carry_out(self, run: NetworkRun, wishes: Wishes, emit: Emit) -> dict[str, Any]:
        with StopSources(self._control) as stops, stops.watch(run.stop) as watch, contextlib.suppress(Cancelled):
            look, work = run.run(emit)
        if watch.cause:
            half = "; ports may have been changed, and mlxlaunch network --undo takes that back" if run.begun else ""
            return stopped_result(watch.cause.returncode, watch.cause.kind, f"{watch.cause.message}{half}")
        return network_result(look, wishes, work, check=self._request.dry_run)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch action's task: from Ansible's variables to the result of one job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..caller.cancellation import StopSources
from ..hosts.connection import start_process
from ..hosts.connections import HostConnections
from ..hosts.descriptors import OF_A_RECORD, reserve
from ..job.host_settings import HostSettings
from ..launch.planning import plan
from ..launch.request import LaunchRequest, check_same_ranks
from ..plan.plan import JobPlan
from .task import Task


class Launch(Task):
    """One launch on behalf of a task."""

    def _run(self) -> dict[str, Any]:
        asked = self._asked()
        first = plan(asked)
        check_same_ranks(self._request.ranks, first.table)
        # Now, so that a host that cannot be reached is an error before anything is started.
        connect = {name: self._hosts.channel(name, first.specs[name].python, asked.settings.trust_owner) for name in first.table.hosts}
        if self._request.dry_run:
            return self._dry_run(asked)
        reserve(len(connect), OF_A_RECORD)
        start = partial(start_process, env=self._request.environment)
        with contextlib.ExitStack() as begun:
            stops = begun.enter_context(StopSources(self._control))
            connections = begun.enter_context(HostConnections(connect, [stops.fileno()], start))
            if not asked.brings:
                connections.begin()
            return self._launch(asked, first, stops, connections, begun)

    def _asked(self) -> LaunchRequest:
        settings, given = self._check(), self._request
        hosts = self._hosts.members(settings.group)
        return LaunchRequest(
            self.job,
            settings,
            hosts,
            self._places(hosts, settings.backend),
            given.default_python,
            given.default_cwd,
            given.default_stdin if self._control else None,
            self._terminal_size(),
            given.term,
            self._origin(hosts),
            given.outputs,
        )

    def _origin(self, hosts: Sequence[HostSettings]) -> dict[str, Any]:
        """Return where the hosts come from, for the record, with what the launching program knows of it."""
        given = self._request.inventory or {"paths": self._hosts.sources}
        return {**given, **self._hosts.origin(hosts, given["paths"])}

    def _dry_run(self, request: LaunchRequest) -> dict[str, Any]:
        from ..launch.dry_run import dry_run  # late: a launch does not need it

        with self._reporting(request.settings) as emit:
            self._warn_of_hosts(emit, request.settings.group)
            return dry_run(request, {host.name: self._hosts.ssh_name(host) for host in request.hosts}, emit)

    def _launch(
        self, request: LaunchRequest, first: JobPlan, stops: StopSources, connections: HostConnections, begun: contextlib.ExitStack
    ) -> dict[str, Any]:
        # Late: ssh has been started by now, and needs none of this.
        from ..launch import steps
        from ..output.catch_up import CatchUp
        from ..output.fanout import Fanout
        from ..output.reporter import Reporter

        settings, receivers = request.settings, [host for host in request.hosts if host.name in first.table.hosts]
        task = steps.deployment(request, lambda: self._hosts.access_of(receivers, settings))
        run_dir = steps.make_run_dir(settings.log_dir, self.job, stops.wake)
        sink = self._sink(settings, stops.wake, {rank.rank: rank.host for rank in first.table.ranks})
        fanout = Fanout([run_dir, CatchUp(sink, run_dir, stops.wake)])
        reporter, started = Reporter(self.job, fanout), time.monotonic()
        try:
            # They end before the sinks are closed: a signal ends the wait for a reader then.
            with begun.pop_all(), steps.runs_pruned(settings):
                with connections, steps.Handover(task) as handover:
                    steps.announce(request, first, reporter, fanout)
                    self._warn_of_absent(reporter.emit)
                    self._warn_of_hosts(reporter.emit, settings.group)
                    deployed = steps.deploy(task, stops, reporter)
                    if deployed.cause is None and not deployed.problems:  # else no rank will run
                        connections.begin()
                    final = steps.finalise(request, first, deployed)
                    record = partial(steps.write_record, request, deployed, run_dir)
                    record(final)
                    policy = steps.make_policy(
                        settings, final, deployed, record, handover.begin, lambda text: reporter.emit("warning", text=text)
                    )
                    to_send = steps.specs_to_send(request, final, deployed)
                    steps.run(policy, to_send, connections, stops, reporter, fanout)
                hint = steps.hint_for(request, deployed.deployed)
                outcome = steps.result(policy, run_dir, reporter, time.monotonic() - started, hint)
                steps.deliver(fanout, stops, reporter)
            return outcome | {"changed": policy.went or deployed.changed}
        finally:
            fanout.close()

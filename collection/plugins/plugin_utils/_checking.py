# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: one check, from Ansible's variables to the result. Used by the check action."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from ._children import Cancelled
from ._environments import environment_from
from ._errors import EXIT_NOT_READY
from ._examination import Examination
from ._hashes import wanted_project
from ._interruption import Interruption
from ._plan import Deployed, HostSettings, JobPlan, plan_job
from ._policy import Cause
from ._settings import JobSettings
from ._task import Task
from ._verdict import FAIL, WARN, Row, judge


class Checking(Task):
    """One check on behalf of a task."""

    def _run(self) -> dict[str, Any]:
        settings = self._check(job=False)
        hosts = [self._hosts.settings(name) for name in self._hosts.names(settings.group)]
        examination = self._examination(settings, hosts)
        sink = self._sink(settings, lambda: None, {})
        started = time.monotonic()
        report = self._reporter(sink)
        try:
            result = self._carry_out(examination, settings, report)
            result["duration"] = round(time.monotonic() - started, 3)
            report("check_finished", width=(self._terminal_size() or (None,))[0], **result)
        finally:
            sink.close()
        return result

    def _examination(self, settings: JobSettings, hosts: Sequence[HostSettings]) -> Examination:
        rank_places = self._places(hosts, settings.backend)

        def plan(deployed: Deployed) -> JobPlan:
            return plan_job(
                self.job,
                settings,
                hosts,
                rank_places,
                default_python=self._default_python,
                default_cwd=self._default_cwd,
                deployed=deployed,
            )

        here = all(host.local for host in hosts)
        access = {host.name: self._hosts.access(host, settings) for host in hosts}
        environment = environment_from(settings) if settings.environment else None
        project = None if here or not settings.sync else wanted_project(settings)
        return Examination(settings, hosts, access, plan, environment, project)

    def _carry_out(self, examination: Examination, settings: JobSettings, report: Any) -> dict[str, Any]:
        with Interruption(examination.stop, self._control) as interruption, contextlib.suppress(Cancelled):
            examination.run(report)
        rows = [] if interruption.cause else judge(examination.surveys, settings.backend)
        found = {name: dict(survey.found) for name, survey in examination.surveys.items()}
        return summary(rows, interruption.cause, found)


def summary(rows: Sequence[Row], cause: Cause | None, found: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of a check as its event and the task's result tell it."""
    failing = [row.host for row in rows if row.status == FAIL]
    warned = [row.host for row in rows if row.status == WARN]
    if not cause and failing:
        cause = Cause("not_ready", EXIT_NOT_READY, f"{len(failing)} of {len(rows)} hosts not ready: {', '.join(failing)}")
    if not cause:
        doubts = f"; with warnings: {', '.join(warned)}" if warned else ""
        cause = Cause("ready", 0, f"all {len(rows)} hosts are ready{doubts}" if len(rows) != 1 else f"{rows[0].host} is ready{doubts}")
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "checks": [row.to_json() for row in rows],
        "facts": found,
    }

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the deploy action."""

from __future__ import annotations

import time
from typing import Any

from ..caller.cancellation import StopSources
from ..deploy.deploy import PARTS, Deploy
from ..deploy.outcome import Outcome, deploy_result, diff_of
from ..deploy.parts.environment import ENVIRONMENT
from ..deploy.parts.project import PROJECT
from ..deploy.scan import wanted_project
from ..hosts.progress import Emit
from ..hosts.subprocesses import Cancelled
from ..job.errors import UsageError
from ..job.settings import check_settings
from .task import Task


class DeployTask(Task):
    """One deploy to all hosts."""

    own_options = ("parts",)

    def _run(self) -> dict[str, Any]:
        parts = self._request.own["parts"] or list(PARTS)
        unknown = set(parts) - set(PARTS)
        if unknown:
            raise UsageError(f"parts: {', '.join(sorted(unknown))}: want some of {', '.join(PARTS)}")
        settings = check_settings(self._request.options, job=False)
        deploy = self._deploy(parts)
        started = time.monotonic()
        with self._reporting(settings) as emit:
            result = self._carry_out(deploy, emit)
            self._warn_of_hosts(emit, settings.group)
            result["duration"] = round(time.monotonic() - started, 3)
            differences = result.pop("differences")
            emit("deploy_finished", **result)
        return result | ({"diff": diff_of(differences, result["project"])} if self._context.diff else {})

    def _deploy(self, parts: list[str]) -> Deploy:
        """Return the deploy of these parts."""
        without = {} if ENVIRONMENT in parts else {"environment": ""}
        settings = check_settings({**self._request.options, **without}, job=False)
        hosts = self._hosts.members(settings.group)
        access = self._hosts.access_of(hosts, settings)
        project = wanted_project(settings, self._request.outputs) if PROJECT in parts else None
        if PROJECT in parts and not project and settings.script:
            raise UsageError(f"{settings.script}: no such script here")
        if not project and not settings.environment:
            access = {}  # nothing is asked for: no host needs to be reached
        return Deploy(settings, project, access, check=self._context.check_mode, differences=self._context.diff)

    def _carry_out(self, deploy: Deploy, emit: Emit) -> dict[str, Any]:
        with StopSources(self._control) as stops, stops.watch(deploy.stop) as watch:
            try:
                outcome = deploy.run(emit)
            except Cancelled:
                outcome = Outcome()
            finally:
                deploy.release()
        return deploy_result(outcome, watch.cause, check=self._context.check_mode)

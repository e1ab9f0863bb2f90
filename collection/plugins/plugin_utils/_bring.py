# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: one deploy, from Ansible's variables to the result. Used by the deploy action."""

from __future__ import annotations

import time
from typing import Any

from ._children import Cancelled
from ._deploy import ENVIRONMENT, PARTS, PROJECT, Deploy, Outcome
from ._errors import EXIT_NOT_READY, UsageError
from ._hashes import wanted_project
from ._interruption import Interruption
from ._policy import Cause
from ._settings import JobSettings, check_settings
from ._task import Task


class Bring(Task):
    """One deploy on behalf of a task.

    Attributes:
        check: change nothing, only tell what would change.
        diff: tell which files are different.
    """

    check = False
    diff = False

    def _run(self) -> dict[str, Any]:
        parts = self._options.pop("parts", None) or list(PARTS)
        unknown = set(parts) - set(PARTS)
        if unknown:
            raise UsageError(f"parts: {', '.join(sorted(unknown))}: want some of {', '.join(PARTS)}")
        settings = check_settings(self._options, job=False)
        hosts = [self._hosts.settings(name) for name in self._hosts.names(settings.group)]
        deploy = self._deploy(settings, parts, {host.name: self._hosts.access(host, settings) for host in hosts})
        sink = self._sink(settings, lambda: None, {})
        started = time.monotonic()
        report = self._reporter(sink)
        try:
            result = self._carry_out(deploy, report)
            result["duration"] = round(time.monotonic() - started, 3)
            report("deploy_finished", **{key: value for key, value in result.items() if key != "differences"})
        finally:
            sink.close()
        return result

    def _deploy(self, settings: JobSettings, parts: list[str], access: Any) -> Deploy:
        if ENVIRONMENT not in parts:
            settings = check_settings(self._options | {"environment": ""}, job=False)
        project = wanted_project(settings) if PROJECT in parts else None
        if PROJECT in parts and not project and settings.script:
            raise UsageError(f"{settings.script}: no such script here")
        if not project and not settings.environment:
            access = {}  # nothing is asked for: no host needs to be reached
        return Deploy(settings, project, access, check=self.check, differences=self.diff)

    def _carry_out(self, deploy: Deploy, report: Any) -> dict[str, Any]:
        with Interruption(deploy.stop, self._control) as interruption:
            try:
                outcome = deploy.run(report)
            except Cancelled:
                outcome = Outcome()
        return summary(outcome, interruption.cause, check=self.check)


def summary(outcome: Outcome, cause: Cause | None, *, check: bool) -> dict[str, Any]:
    """Return the outcome of a deploy as its event and the task's result tell it."""
    deployed, count = outcome.deployed, len(outcome.changed)
    if not cause and outcome.problems:
        text = f"{len(outcome.problems)} hosts could not be deployed to: {', '.join(outcome.problems)}"
        cause = Cause("not_ready", EXIT_NOT_READY, text)
    if not cause:
        done = "would change" if check else "changed"
        cause = Cause("deployed", 0, f"{count} hosts {done}" if count else "nothing to do: all hosts have it")
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": outcome.problems,
        "hosts_changed": outcome.changed,
        "differences": outcome.differences,
        "root": deployed.root,
        "environment": deployed.environment,
        "environment_digest": deployed.environment_digest,
        "python": deployed.python,
        "project": deployed.project,
        "project_digest": deployed.project_digest,
        "script": deployed.script,
    }

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch action: runs on the controller, drives all hosts of the job. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.tasks.bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils.tasks.installation import our_imports

    with our_imports():
        from ..plugin_utils.hosts.ansible_core import calm_main_process
        from ..plugin_utils.tasks.action import ClusterAction
        from ..plugin_utils.tasks.launch import Launch
        from ..plugin_utils.tasks.task import Task

        # The main process loads this plugin too, before it forks the worker that runs it.
        calm_main_process()


class ActionModule(ClusterAction):
    """Run one job; every call is one job, however many hosts the play has."""

    # One task drives all hosts from one loop. A task per host could not: `forks` would start only some of them.
    task_class = Launch

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the job; ranks that were started may have changed anything."""
        return super().as_result(task, outcome) | {"job": task.job, "changed": outcome.get("changed", True)}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy action: runs on the controller, drives all hosts. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.tasks.bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils.tasks.installation import our_imports

    with our_imports():
        from ..plugin_utils.tasks.action import ClusterAction
        from ..plugin_utils.tasks.deploy import DeployTask
        from ..plugin_utils.tasks.task import Task


class ActionModule(ClusterAction):
    """Deploy to all hosts of the group, however many the play has."""

    # One task drives all hosts at once: the proof that they have the same needs all of them.
    _supports_check_mode = True
    task_class = DeployTask

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the versions on the hosts now; changed when a host lacked one."""
        return super().as_result(task, outcome) | {"changed": bool(outcome["hosts_changed"])}

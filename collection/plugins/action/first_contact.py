# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first_contact action: runs on the controller, meets all hosts. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.tasks.bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils.hosts.ansible_core import calm_main_process
    from ..plugin_utils.tasks.action import ClusterAction
    from ..plugin_utils.tasks.first_contact import FirstContactTask
    from ..plugin_utils.tasks.task import Task

# The main process loads this plugin too, before it forks the worker that runs it.
calm_main_process()


class ActionModule(ClusterAction):
    """Meet all hosts, once, however many the play has."""

    _supports_check_mode = True
    task_class = FirstContactTask

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the outcome; changed when something was added to this machine or to a host."""
        return super().as_result(task, outcome) | {"changed": outcome["changed"]}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fetch action: runs on the controller, drives one host. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.tasks.bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils.tasks.installation import our_imports

    with our_imports():
        from ..plugin_utils.tasks.action import ClusterAction
        from ..plugin_utils.tasks.fetch import FetchTask
        from ..plugin_utils.tasks.task import Task


class ActionModule(ClusterAction):
    """Fetch files of a job, once, however many hosts the play has."""

    # A worker of its own for each file, and a module on the host, would take seconds; see also `Destination`.
    _supports_check_mode = True
    task_class = FetchTask

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the files; changed when one was not here with its content."""
        return super().as_result(task, outcome) | {"changed": any(file["changed"] for file in outcome["files"])}

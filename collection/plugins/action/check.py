# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check action: runs on the controller, asks all hosts. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils._action import in_a_worker
    from ..plugin_utils._ansible import calm_main_process
    from ..plugin_utils._checking import Checking

# The main process loads this plugin too, before it forks the worker that runs it.
calm_main_process()


class ActionModule(ActionBase):
    """Check all hosts, once, however many the play has."""

    # One task asks all hosts: what is checked is also whether they are alike, and whether they reach each other.
    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was found; failed when something is wrong with any host."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        with in_a_worker():
            checking = Checking(self._task.args, self._task, self._play_context, self._templar, task_vars or {}, Display().display)
            outcome = checking.run()
        result.update(outcome, changed=False, failed=outcome["returncode"] != 0, msg=outcome["message"])
        return result

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hostfile action: runs on the controller, drives all hosts. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils._action import in_a_worker
    from ..plugin_utils._write_hostfile import WriteHostfile


class ActionModule(ActionBase):
    """Write the hostfile here and on all hosts of the group, however many the play has."""

    # One task drives all hosts at once: a worker and several modules per host would take seconds to change nothing.
    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what is where now; changed when it was not there before."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        with in_a_worker():
            write = WriteHostfile(self._task.args, self._task, self._play_context, self._templar, task_vars or {}, Display().display)
            write.check = bool(self._task.check_mode)
            outcome = write.run()
        found = outcome.pop("differences")
        changed = bool(outcome["hosts_changed"]) or outcome["path_changed"]
        result.update(outcome, changed=changed, failed=outcome["returncode"] != 0, msg=outcome["message"])
        if self._task.diff:
            result["diff"] = found
        return result

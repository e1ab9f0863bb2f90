# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy action: runs on the controller, drives all hosts. Documented beside the module of this name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._bytecode import bytecode_kept

with bytecode_kept():
    from ..module_utils._manifest import printable
    from ..plugin_utils._action import in_a_worker
    from ..plugin_utils._bring import Bring


class ActionModule(ActionBase):
    """Deploy to all hosts of the group, however many the play has."""

    # One task drives all hosts at once: the proof that they have the same needs all of them.
    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what is on the hosts now; changed when anything had to be brought there."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        with in_a_worker():
            bring = Bring(self._task.args, self._task, self._play_context, self._templar, task_vars or {}, Display().display)
            bring.check, bring.diff = bool(self._task.check_mode), bool(self._task.diff)
            outcome = bring.run()
        differences = outcome.pop("differences")
        result.update(outcome, changed=bool(outcome["hosts_changed"]), failed=outcome["returncode"] != 0, msg=outcome["message"])
        if self._task.diff:
            result["diff"] = [{"prepared": text} for text in _as_text(differences, outcome["project"])]
        return result


def _as_text(differences: dict[str, dict[str, list[str]]], project: str) -> list[str]:
    """Return what is different in the files of each host, hosts with the same together."""
    by_text: dict[str, list[str]] = {}
    for host, found in differences.items():
        lines = [f"{sign} {printable(path)}" for sign, kind in (("+", "added"), ("~", "changed"), ("-", "removed")) for path in found[kind]]
        by_text.setdefault("\n".join(lines), []).append(host)
    return [f"{project} on {', '.join(hosts)}\n{text}\n" for text, hosts in by_text.items()]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network action: runs on the controller, asks all hosts. Documented beside the module of this name."""

from __future__ import annotations

from ..plugin_utils.tasks.bytecode import bytecode_kept

with bytecode_kept():
    from ..plugin_utils.tasks.installation import our_imports

    with our_imports():
        from ..plugin_utils.hosts.ansible_core import calm_main_process
        from ..plugin_utils.tasks.action import ChangingAction
        from ..plugin_utils.tasks.network import NetworkTask

        # The main process loads this plugin too, before it forks the worker that runs it.
        calm_main_process()


class ActionModule(ChangingAction):
    """Look at the network of all hosts, once, however many the play has."""

    # One task asks all hosts: a cable is known only from the answers of both its ends.
    task_class = NetworkTask

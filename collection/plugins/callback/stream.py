# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = """
name: stream
version_added: 1.0.0
type: stdout
short_description: Ansible's default output, with the ranks' output live in between
description:
  - Keeps the launching process's standard output and error for the M(mlxlaunch.cluster.launch) action,
    which writes the ranks' bytes there as they come, unchanged, stdout and stderr apart.
  - All else is as in P(ansible.builtin.default#callback).
  - With any other stdout callback the ranks' output goes through Ansible's display, as text.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - Set as stdout callback in the configuration.
"""

import gc
import sys

from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

from ..plugin_utils.caller import terminal


class CallbackModule(Default):
    """Keep the descriptors before any worker is forked, and leave out what the ranks' output has already told."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "mlxlaunch.cluster.stream"

    def __init__(self):
        super().__init__()
        # What Ansible prints must not stand in a buffer while the ranks' output passes it by.
        sys.stdout.reconfigure(line_buffering=True)
        # Under ansible-runner standard output carries its event stream, which ranks must not write into.
        if not terminal.under_runner():
            terminal.keep()
        self._ran = False  # whether any task has begun

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._ran = True
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_stats(self, stats):
        super().v2_playbook_on_stats(stats)
        chosen, skipped = ([*(context.CLIARGS.get(name) or ())] for name in ("tags", "skip_tags"))
        if not self._ran and (chosen not in ([], ["all"]) or skipped):
            self._display.warning("no task has run: tags leave them all out (--tags, --skip-tags, or [tags] in ansible.cfg)")
        # All that is left is to exit. Collecting garbage on the way out would take a tenth of a second.
        gc.freeze()
        gc.disable()

    def v2_runner_on_ok(self, result):
        if not _is_job(result):
            super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        # The failure has been told, with rank, host and last lines, when the job finished.
        if not _is_job(result):
            super().v2_runner_on_failed(result, ignore_errors)


def _is_job(result):
    """Return whether this is the result of a job that ran, or of a check, which has shown its table."""
    told = result._result
    return ("first_failure" in told and "run_dir" in told) or ("checks" in told and "facts" in told)

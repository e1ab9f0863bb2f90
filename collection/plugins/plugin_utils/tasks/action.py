# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of all actions here."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ...module_utils.shared.credentials import without_credentials
from ..caller.orphan_guard import leave_when_orphaned, parent_of_worker
from ..hosts.ansible_core import collection_paths, fails, keep_results_coming, register_for_all
from ..job.errors import LaunchError, UsageError, naming_options
from .installation import explained, warnings
from .request import TaskContext
from .task import Task

# The main process loads this too, before it forks the worker in which an action runs.
keep_results_coming()

HERE = ("localhost", "127.0.0.1", "::1")


class ClusterAction(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """An action that does its work once for all hosts, on the controller, however many the play has."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    task_class: ClassVar[type[Task]]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do the work and return the result of the Ansible task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.ignore_errors:
            register_for_all(self._task)  # also a refusal, which has no outcome
        launched = bool(self._task.args.get("control"))  # by a program, whose flags have names of their own
        with in_worker(), explained(), naming_options(by_flag=launched):
            if not launched:  # mlxlaunch looks for its own collection first, and its package requires a tested core
                for text in warnings(collection_paths()):
                    Display().warning(text)
            check_keywords(self._task, task_vars or {})
            task = self.task_class.of(self._context(task_vars or {}))
            outcome = task.run()
        result |= self.as_result(task, outcome)
        if not fails(self._task, self._templar, task_vars or {}, result):
            register_for_all(self._task)
        return result

    def _context(self, task_vars: dict[str, Any]) -> TaskContext:
        return TaskContext(
            options=self._task.args,
            task=self._task,
            play_context=self._play_context,
            templar=self._templar,
            task_vars=task_vars,
            show=Display().display,
            check_mode=bool(self._task.check_mode),
            diff=bool(self._task.diff),
        )

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the outcome of the work as Ansible wants it; a subclass also says whether anything changed."""
        return {**outcome, "changed": False, "failed": outcome["returncode"] != 0, "msg": outcome["message"]}


class ChangingAction(ClusterAction):
    """An action whose outcome has `changed`, and `diff` with the differences of hosts."""

    _supports_check_mode = True

    def as_result(self, task: Task, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the outcome as Ansible wants it, with the differences only where they are wanted."""
        outcome = dict(outcome)
        changed, diff = outcome.pop("changed"), outcome.pop("diff")
        result = super().as_result(task, outcome) | {"changed": changed}
        return result | {"diff": diff} if self._task.diff and diff else result


def check_keywords(task: Any, task_vars: Mapping[str, Any]) -> None:
    """Refuse the keywords of a play or task with which one task cannot drive all hosts.

    Raises:
        UsageError: naming the keyword.
    """
    elsewhere = set(task_vars.get("ansible_play_hosts") or ()) - set(task_vars.get("ansible_play_batch") or ())
    if elsewhere:
        names = ", ".join(sorted(elsewhere))
        raise UsageError(f"serial: this task drives all hosts at once, and {names} are in other batches; use a play without serial")
    if task.delegate_to and task.delegate_to not in HERE:
        raise UsageError(
            f"delegate_to: {task.delegate_to}: this task runs where Ansible runs, and reaches all hosts from there; leave delegate_to out"
        )


@contextlib.contextmanager
def in_worker() -> Iterator[None]:
    """Do an action's work in Ansible's worker: its failure is the task's, and it ends with ansible-playbook."""
    parent = parent_of_worker()
    gc.freeze()  # what Ansible has made until now stays; to look through it takes longer than all else before a launch
    gc.enable()  # it may take days; whoever launched the play may have turned it off for a quick start
    try:
        yield
    except LaunchError as exc:
        raise AnsibleActionFail(without_credentials(str(exc)), result={"returncode": exc.returncode}) from None
    finally:
        leave_when_orphaned(parent)

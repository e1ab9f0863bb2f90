# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for one piece of work: from an action's variables, and from a launching program if there is one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..caller.home import without_tildes
from ..caller.terminal import descriptors, files_of
from ..job.ids import new_job_id
from ..job.settings import with_exports
from ..job.structured import structured
from ..plan.stdin_readers import NONE


@dataclass(frozen=True)
class TaskContext:
    """An Ansible task, as its action plugin sees it.

    Attributes:
        options: the action's options.
        task, play_context, templar: those of the action.
        task_vars: the variables of the task's host.
        show: Ansible's display, for when no sink of ours can reach the terminal.
        check_mode: change nothing.
        diff: show differences.
    """

    options: Mapping[str, Any]
    task: Any
    play_context: Any
    templar: Any
    task_vars: Mapping[str, Any]
    show: Callable[..., None]
    check_mode: bool = False
    diff: bool = False


@dataclass(frozen=True)
class Request:
    """The work that is wanted.

    Attributes:
        job: id of this piece of work.
        options: settings of the job, as they were given.
        own: options of the action that are no settings; None for those that were not given.
        dry_run: only describe the work.
        hostfile: hosts and addresses of the ranks, or None to make them from the inventory.
        terminal: columns and lines of the launching program's terminal, or None.
        term: kind of that terminal, or empty.
        default_stdin: which ranks read standard input by default.
        environment: variables of the launching program, for ranks on this machine; None for those of Ansible's worker.
        default_cwd: working directory of ranks by default.
        default_python: interpreter of ranks by default.
        inventory: for the record of the job, None for Ansible's.
        slots: ranks on each host, 0 for what the inventory says.
        ranks: the rank table of the run that is repeated, or None.
        outputs: (device, inode) of each file that the launching process's own output goes to.
    """

    job: str
    options: Mapping[str, Any]
    own: Mapping[str, Any]
    dry_run: bool
    hostfile: Any
    terminal: Sequence[int] | None
    term: str
    default_stdin: str
    environment: Mapping[str, str] | None
    default_cwd: str
    default_python: str
    inventory: Any
    slots: int
    ranks: Any
    outputs: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, context: TaskContext, setup: Mapping[str, Any], own: Sequence[str] = ()) -> Request:
        """Return the request of a task.

        Args:
            context: the task.
            setup: the launching program's part, which counts for more; empty when there is none.
            own: names of options that are no settings.
        """
        options = dict(context.options)
        hostfile = setup.get("hostfile") or options.pop("hostfile", None)
        options = without_tildes(with_exports(options | setup.get("settings", {})))
        return cls(
            job=setup.get("job") or new_job_id(),
            own=_own(options, setup.get("own", {}), own),
            options=options,
            dry_run=bool(setup.get("dry_run")) or context.check_mode,
            hostfile=structured(hostfile, "mlx_hostfile"),
            terminal=setup.get("terminal"),
            term=setup.get("term") or "",
            # Without a program that launches there is none: Ansible's workers read /dev/null.
            default_stdin=setup.get("default_stdin") or NONE,
            environment=setup.get("environment"),
            default_cwd=setup.get("default_cwd") or os.getcwd(),
            default_python=setup.get("default_python") or context.task_vars.get("ansible_playbook_python") or sys.executable,
            inventory=setup.get("inventory"),
            slots=setup.get("slots") or 0,
            ranks=setup.get("ranks"),
            outputs=list(map(tuple, setup.get("outputs", ()))) or files_of(descriptors() or ()),
        )


def _own(options: dict[str, Any], given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the options that are no settings, taken out of the others; the launching program's are stronger."""
    return {name: given.get(name, value) for name in names for value in [options.pop(name, None)]}

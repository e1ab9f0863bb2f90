# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what every action here begins with, from Ansible's variables or a program's wishes to a sink."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import _terminal
from ._backends import AUTO, listeners
from ._bytecode import bytecode_kept
from ._control import Control
from ._cuda import default_backend
from ._describe import Describer, make_prefix
from ._errors import LaunchError, UsageError
from ._hostfile import hostfile_from_data
from ._hosts import Hosts
from ._ids import new_job_id
from ._plan import HostSettings, places, rank_addresses
from ._ranktable import Place
from ._resolve import resolve_ipv4
from ._settings import JobSettings, check_settings
from ._sinks import DisplaySink, Sink, SocketSink, TerminalSink
from ._stdin import NONE


class Task:
    """One piece of work on behalf of a task.

    Args:
        options: the action's options.
        task, play_context, templar: those of the action.
        task_vars: the variables of the task's host.
        show: Ansible's display, for when no sink of ours can reach the terminal.

    Attributes:
        job: id of this piece of work.
        dry_run: whether to tell only what would be done.
    """

    def __init__(self, options: Mapping[str, Any], task: Any, play_context: Any, templar: Any, task_vars: Mapping[str, Any], show: Any):
        self._show = show
        options = dict(options)
        path = options.pop("control", None)
        self._control = Control(path) if path else None
        setup = self._control.setup if self._control else {}
        self._hostfile = setup.get("hostfile") or options.pop("hostfile", None)
        self._terminal = setup.get("terminal")
        self._term = setup.get("term") or ""
        # Without a program that launches there is none: Ansible's workers read /dev/null.
        self._default_stdin = setup.get("default_stdin") or NONE
        self._default_cwd = setup.get("default_cwd") or os.getcwd()
        self._default_python = setup.get("default_python") or task_vars.get("ansible_playbook_python") or sys.executable
        self._inventory = setup.get("inventory")
        self._command = setup.get("command") or sys.argv
        self._expected = setup.get("ranks")
        self.job = setup.get("job") or new_job_id()
        self.dry_run = bool(setup.get("dry_run")) or bool(task.check_mode)
        self._options = options | setup.get("settings", {})
        self._hosts = Hosts(task, play_context, templar, task_vars, self._options.get("env") or {})

    def run(self) -> dict[str, Any]:
        """Do it to its end and return the result; a LaunchError when nothing could be started."""
        try:
            with bytecode_kept():
                return self._run()
        except LaunchError as exc:
            if self._control:
                self._control.refuse(self.job, exc.returncode, str(exc))
            raise
        finally:
            if self._control:
                self._control.close()

    def _run(self) -> dict[str, Any]:
        raise NotImplementedError

    def _places(self, hosts: Sequence[HostSettings], backend: str) -> list[Place]:
        """Return where each rank will be, in rank order; addresses only where the backend needs them."""
        wanted = listeners(backend)
        if not self._hostfile:
            return places(hosts, resolve_ipv4, wanted)
        known = {host.name: host for host in hosts}
        found = []
        for rank, entry in enumerate(hostfile_from_data(self._hostfile).entries):
            if entry.ssh not in known:
                raise UsageError(f"hostfile: {entry.ssh} is not in the inventory")
            host = known[entry.ssh]
            found.append(Place(entry.ssh, entry.ips or rank_addresses(host, rank, resolve_ipv4, wanted), entry.rdma or host.rdma))
        return found

    def _check(self, *, job: bool = True) -> JobSettings:
        """Return the task's settings, checked, with the backend decided."""
        settings = check_settings(self._options, job=job)
        return replace(settings, backend=default_backend(self._default_python)) if settings.backend == AUTO else settings

    def _sink(self, settings: JobSettings, wake: Callable[[], None], host_of: Mapping[int, str]) -> Sink:
        if self._control:
            return SocketSink(self._control.socket, wake)
        fds = _terminal.descriptors()
        colours = [_terminal.wants_colour(fd) for fd in fds] if fds else [False, False]
        prefix = make_prefix(host_of, colours[0]) if settings.prefix else None
        describe = Describer(colours[1], settings.verbose)
        if fds:
            return TerminalSink(fds, describe, prefix, wake)
        return DisplaySink(self._show, describe, prefix, whole_lines=_terminal.under_runner())

    def _reporter(self, sink: Sink) -> Callable[..., None]:
        """Return what tells an event (name, host, details) to a sink."""

        def report(event: str, host: str | None = None, **details: Any) -> None:
            sink.event({"event": event, "job": self.job, "time": time.time(), "host": host, "rank": None, **details})

        return report

    def _terminal_size(self) -> tuple[int, int] | None:
        if self._terminal:
            return int(self._terminal[0]), int(self._terminal[1])
        fds = _terminal.descriptors()
        if fds and os.isatty(fds[0]):
            size = os.get_terminal_size(fds[0])
            return size.columns, size.lines
        return None

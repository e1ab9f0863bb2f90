# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common part of all pieces of work: from a request to events, and to the result of an Ansible task."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...module_utils.shared.credentials import without_credentials
from ..backends.backends import listeners
from ..caller import terminal
from ..caller.control import Control
from ..caller.default_backend import default_backend
from ..hosts.ansible_core import has_vault
from ..hosts.early.handed import drop, receive
from ..hosts.early.kept import Place
from ..hosts.hosts import Hosts
from ..hosts.progress import Emit
from ..hosts.resolve import resolve_ipv4
from ..job.backend_names import AUTO
from ..job.errors import LaunchError, UsageError
from ..job.host_settings import HostSettings, is_asked, is_needed, places, rank_addresses, with_slots
from ..job.hostfile import hostfile_from_data
from ..job.rank_table import RankPlace
from ..job.settings import JobSettings, check_settings
from .bytecode import bytecode_kept
from .request import Request, TaskContext

if TYPE_CHECKING:
    from ..output.sinks import Sink


class Task:
    """One piece of work on behalf of an Ansible task.

    Args:
        context: the Ansible task.
        request: the work.
        hosts: the hosts that the task knows of.
        control: socket of the launching program, if there is one.
    """

    #: Options of the action that are no settings of the job.
    own_options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, context: TaskContext, request: Request, hosts: Hosts, control: Control | None = None) -> None:
        self._context = context
        self._request = request
        self._hosts = hosts
        self._control = control

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        """Return the work of an Ansible task; asks the launching program for its part, if there is one."""
        options = dict(context.options)
        path = options.pop("control", None)
        control = Control(path) if path else None
        if control:
            place = control.setup.get("early")
            receive(Place(**place) if place and not has_vault() else None, control.handed)
        request = Request.of(replace(context, options=options), control.setup if control else {}, cls.own_options)
        hosts = Hosts(context.task, context.play_context, context.templar, context.task_vars, request.options.get("env") or {})
        return cls(context, request, hosts, control)

    @property
    def job(self) -> str:
        """Id of this piece of work."""
        return self._request.job

    def run(self) -> dict[str, Any]:
        """Do it to its end and return the result; raise LaunchError when nothing could be started."""
        try:
            with bytecode_kept():
                return self._run()
        except LaunchError as exc:
            if self._control:
                self._control.refuse(self.job, exc.returncode, without_credentials(str(exc)))
            raise
        finally:
            drop()
            if self._control:
                self._control.close()

    def _run(self) -> dict[str, Any]:
        raise NotImplementedError

    def _places(self, hosts: Sequence[HostSettings], backend: str) -> list[RankPlace]:
        """Return the place of each rank, in rank order; with addresses only where the backend needs them."""
        wanted = listeners(backend)
        if not self._request.hostfile:
            return places(with_slots(hosts, self._request.slots), resolve_ipv4, wanted)
        known = {host.name: host for host in hosts}
        found = []
        hostfile = hostfile_from_data(self._request.hostfile)
        limited = hostfile.limited(known) if self._context.task_vars.get("ansible_limit") or self._hosts.absent else hostfile
        for rank, entry in enumerate(limited.entries):
            if entry.ssh not in known:
                raise UsageError(f"hostfile: {entry.ssh} is not in the inventory")
            host = known[entry.ssh]
            ips = entry.ips or rank_addresses(host, rank, resolve_ipv4, wanted)
            asked = not entry.ips and is_asked(host) and is_needed(rank, wanted)
            found.append(RankPlace(entry.ssh, ips, entry.rdma or host.rdma, asked))
        return found

    def _check(self, *, job: bool = True) -> JobSettings:
        """Return the task's settings, checked, with the backend decided."""
        settings = check_settings(self._request.options, job=job)
        return replace(settings, backend=default_backend(self._request.default_python)) if settings.backend == AUTO else settings

    def _sink(self, settings: JobSettings, wake: Callable[[], None], host_of: Mapping[int, str]) -> Sink:
        from .view import view  # late: a launch has begun to reach its hosts by then

        return view(self._control, self._context.show, settings, wake, host_of)

    @contextlib.contextmanager
    def _reporting(self, settings: JobSettings) -> Iterator[Emit]:
        """Give a function that reports an event (kind, host, details) to whoever wants the work."""
        sink = self._sink(settings, lambda: None, {})
        try:
            emit = self._reporter(sink)
            self._warn_of_absent(emit)
            yield emit
        finally:
            sink.close()

    def _reporter(self, sink: Sink) -> Emit:
        """Return the function that reports an event (kind, host, details) to a sink."""
        from ..output.reporter import Reporter  # late, as the sink

        return Reporter(self.job, sink).emit

    def _warn_of_hosts(self, emit: Emit, group: str) -> None:
        """Report, once for all hosts of a group, what of their variables and their configuration is not followed."""
        for text in self._hosts.warnings(group, self._request.options):
            emit("warning", text=text)

    def _warn_of_absent(self, emit: Emit) -> None:
        """Report the hosts that Ansible has in the play, or has had there, and that take no part."""
        if self._hosts.absence:
            emit("warning", text=self._hosts.absence)

    def _terminal_size(self) -> tuple[int, int] | None:
        if self._request.terminal:
            columns, lines = self._request.terminal
            return int(columns), int(lines)
        fds = terminal.descriptors()
        if fds and os.isatty(fds[0]):
            size = os.get_terminal_size(fds[0])
            return size.columns, size.lines
        return None


def refuse_unknown(action: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError for options of an action that there are not.

    Args:
        action: its name, for the message.
        given: the options.
        known: those that there are.
    """
    unknown = set(given) - set(known)
    if unknown:
        raise UsageError(f"{action}: unknown option: {', '.join(sorted(unknown))}")

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the first_contact action."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from ..caller.cancellation import StopSources
from ..contact.commands import hello_program
from ..contact.host_key import given_keys
from ..contact.meet import Contact
from ..contact.outcome import Meeting, contact_result, skipped_result
from ..contact.target import Programs, Target
from ..contact.visit import Wishes
from ..hosts.access import Way
from ..hosts.progress import Emit
from ..hosts.subprocesses import Cancelled, Subprocesses
from ..job.errors import UsageError
from ..job.host_settings import HostSettings
from ..job.settings import JobSettings, Setting, check_settings, check_value
from ..job.structured import structured
from ..prepare.work import WORK, check_work
from .request import TaskContext
from .task import Task

_CONTACT = Setting("contact", "bool", True, "Meet the hosts.")
_SETTINGS = ("group", "python", "trust_owner", "connect_timeout", "lease", "verbose")
HOST_KEY = "mlx_prepare_host_key"  # the variable with the key of a host, or its fingerprint


class FirstContactTask(Task):
    """One first contact with all hosts."""

    own_options = ("apply", "host_keys", "contact", "state")

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        unknown = set(context.options) - {*cls.own_options, *_SETTINGS, "hostfile", "control"}
        if unknown:
            raise UsageError(f"first_contact: unknown option: {', '.join(sorted(unknown))}")
        return super().of(context)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._request.options, job=False)
        own = self._request.own
        work = check_work({name: own[name] for name in WORK}, dry_run=self._request.dry_run)
        if not check_value(_CONTACT, own["contact"], "mlx_prepare_contact") or (own["state"] is not None and not work.apply):
            return skipped_result()
        given, hosts = _host_keys(own["host_keys"]), self._hosts.members(settings.group)
        wishes = Wishes(work.writes, given)
        subprocesses = Subprocesses()
        contact = Contact([self._target(host, settings) for host in hosts], Programs(subprocesses, settings.connect_timeout), wishes)
        started = time.monotonic()
        with self._reporting(settings) as emit:
            result = self._carry_out(contact, subprocesses, wishes, emit)
            self._warn_of_hosts(emit, settings.group)
            result["duration"] = round(time.monotonic() - started, 3)
            emit("contact_finished", **result)
        return result

    def _target(self, host: HostSettings, settings: JobSettings) -> Target:
        """Return how a host is met. As the user who connects, whatever become says: it is his key that is installed."""
        name = host.name
        given = given_keys(self._hosts.variables(name).get(HOST_KEY), f"{name}: {HOST_KEY}")
        python = settings.python or host.python or self._request.default_python
        program = hello_program(python)
        target = Target(name, Way(()), given=given, hello=self._hosts.command(name, program, settings.trust_owner), program=program)
        if host.local:
            return replace(target, local=True)
        by_password = self._hosts.way(name, key_only=False)
        asking = threading.Lock()  # Ansible's templates and plugins are for one thread

        def root(command: str) -> Sequence[str]:
            with asking:
                return self._hosts.access(host, settings, become=True).argv(command)

        by_key = self._hosts.way(name, key_only=True)
        return replace(target, by_key=by_key, by_password=by_password if by_password.before else None, root=root)

    def _carry_out(self, contact: Contact, subprocesses: Subprocesses, wishes: Wishes, emit: Emit) -> dict[str, Any]:
        meetings: list[Meeting] = []
        with StopSources(self._control) as stops, stops.watch(subprocesses.close) as watch, contextlib.suppress(Cancelled):
            meetings = contact.run(emit)
        return contact_result(meetings, watch.cause, apply=wishes.apply)


def _host_keys(value: Any) -> dict[str, tuple[str, ...]]:
    """Return the keys that were given by name of a host."""
    value = structured(value, "host_keys")
    if value in (None, ""):
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"host_keys: want a mapping of hosts to keys or fingerprints, not {value!r}")
    return {str(name): given_keys(keys, f"host_keys: {name}") for name, keys in value.items()}

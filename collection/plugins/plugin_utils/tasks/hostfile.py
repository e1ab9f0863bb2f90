# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the hostfile action."""

from __future__ import annotations

import time
from typing import Any, Self

from ..caller.cancellation import StopSources
from ..deploy.hostfile_outcome import hostfile_diff, hostfile_result
from ..deploy.hostfile_render import hostfile_path, hostfile_text
from ..deploy.hostfile_writer import HostfileWriter
from ..job.errors import UsageError
from ..job.settings import check_settings
from .request import TaskContext
from .task import Task

_SETTINGS = ("group", "root", "trust_owner", "connect_timeout", "lease", "verbose")


class HostfileTask(Task):
    """One hostfile, written here and on all hosts."""

    own_options = ("path", "schema", "backend", "env", "ranks")

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        unknown = set(context.options) - {*cls.own_options, *_SETTINGS}
        if unknown:
            raise UsageError(f"hostfile: unknown option: {', '.join(sorted(unknown))}")
        return super().of(context)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._request.options, job=False)
        hosts = self._hosts.members(settings.group)
        access = self._hosts.access_of(hosts, settings)
        text = self._text(settings.group)
        check = self._context.check_mode
        writer = HostfileWriter(settings, access, text, check=check)
        path = hostfile_path(self._request.own["path"], self._hosts.sources)
        started = time.monotonic()
        with self._reporting(settings) as emit:
            if path:
                writer.write_here(path)
            with StopSources(self._control) as stops, stops.watch(writer.stop) as watch:
                writer.write_on_hosts(emit)
            result = hostfile_result(writer.placed, watch.cause, check=check)
            self._warn_of_hosts(emit, settings.group)
            result["duration"] = round(time.monotonic() - started, 3)
            emit("deploy_finished", **result)
        return result | {"text": text} | ({"diff": hostfile_diff(writer.placed, text)} if self._context.diff else {})

    def _text(self, group: str) -> str:
        """Return the content of the file: it is about all hosts of the group, whichever take part."""
        names = self._context.task_vars["groups"][group]
        options = {name: self._request.own[name] for name in ("schema", "backend", "env", "ranks")}
        return hostfile_text(names, {name: self._hosts.variables(name) for name in names}, user=self._hosts.user, **options)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the fetch action."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ..caller.cancellation import StopSources
from ..fetch.fetch import Fetch
from ..fetch.outcome import fetch_diff, fetch_result
from ..fetch.wanted import Wanted, wanted
from ..job.errors import UsageError
from ..job.settings import JobSettings, check_settings
from .request import TaskContext
from .task import Task, refuse_unknown

_DEFAULT_TO = "fetched"
_SETTINGS = ("group", "connect_timeout", "lease", "verbose")


class FetchTask(Task):
    """One fetch from one host."""

    own_options = ("patterns", "to", "cwd", "host")

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        refuse_unknown("fetch", context.options, (*cls.own_options, *_SETTINGS))
        return super().of(context)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._request.options, job=False)
        patterns, to = self._patterns(), self._to()
        host = self._host(settings)
        check = self._context.check_mode
        access = self._hosts.access_of([self._hosts.settings(host)], settings) if patterns else {}
        # Of a directory that somebody has named, the next launch may be meant to take what it holds.
        apart = (self._request.own["to"] or _DEFAULT_TO) == _DEFAULT_TO
        fetch = Fetch(settings, access, patterns, to, check=check, apart=apart)
        started = time.monotonic()
        with self._reporting(settings) as emit, StopSources(self._control) as stops, stops.watch(fetch.stop) as watch:
            fetch.run(emit)
        result = fetch_result(fetch.fetched, host, to, watch.cause, check=check)
        result["duration"] = round(time.monotonic() - started, 3)
        return result | ({"diff": fetch_diff(fetch.fetched, host, to)} if self._context.diff else {})

    def _patterns(self) -> list[Wanted]:
        given, cwd = self._request.own["patterns"], self._request.own["cwd"] or ""
        if isinstance(given, str):
            given = [given]
        if not isinstance(given, (list, tuple)) or not isinstance(cwd, str):
            raise UsageError("fetch: want patterns, a list of names and globs, and cwd, a directory")
        return [wanted(pattern, cwd) for pattern in given]

    def _to(self) -> str:
        """Return the path of the directory here; a relative one counts from where Ansible was started."""
        given = self._request.own["to"] or _DEFAULT_TO
        if not isinstance(given, str) or "\0" in given:
            raise UsageError(f"mlx_fetch_to: {given!r} is not a path")
        try:
            return os.path.abspath(Path(given).expanduser())
        except RuntimeError as exc:  # no such user
            raise UsageError(f"mlx_fetch_to: {given}: {exc}") from None

    def _host(self, settings: JobSettings) -> str:
        """Return the inventory name of the host; by default the first one of the group, which has rank 0."""
        given, known = self._request.own["host"], self._context.task_vars["hostvars"]
        if not given:
            return self._hosts.names(settings.group)[0]
        if not isinstance(given, str) or not isinstance(known, Mapping) or given not in known:
            raise UsageError(f"fetch: host: {given} is not in the inventory")
        return given

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the hostfile on behalf of a task, from Ansible's variables to the result. Used by the hostfile action."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._errors import EXIT_NOT_READY, UsageError
from ._interruption import Interruption
from ._place_hostfile import Place, Placed, differences
from ._policy import Cause
from ._render_hostfile import check_choice, render_hostfile
from ._settings import check_settings
from ._task import Task

_OWN = ("path", "schema", "backend", "env", "ranks")
_SETTINGS = ("group", "root", "connect_timeout", "lease", "verbose")


class WriteHostfile(Task):
    """One hostfile; for the arguments see `Task`.

    Attributes:
        check: change nothing, only tell what would change.
    """

    check = False

    def __init__(self, options: Mapping[str, Any], task: Any, play_context: Any, templar: Any, task_vars: Mapping[str, Any], show: Any):
        unknown = set(options) - {*_OWN, *_SETTINGS}
        if unknown:
            raise UsageError(f"hostfile: unknown option: {', '.join(sorted(unknown))}")
        self._own = {name: options.get(name) for name in _OWN}
        self._vars = task_vars
        super().__init__({name: options[name] for name in _SETTINGS if name in options}, task, play_context, templar, task_vars, show)

    def _run(self) -> dict[str, Any]:
        settings = check_settings(self._options, job=False)
        hosts = [self._hosts.settings(name) for name in self._hosts.names(settings.group)]
        text = self._text(settings.group)
        place = Place(settings, {host.name: self._hosts.access(host, settings) for host in hosts}, text, check=self.check)
        path = self._path()
        sink = self._sink(settings, lambda: None, {})
        started = time.monotonic()
        report = self._reporter(sink)
        try:
            if path:
                place.write_here(path)
            with Interruption(place.stop, self._control) as interruption:
                place.write_on_hosts(report)
            result = summary(place.placed, interruption.cause, check=self.check)
            result["duration"] = round(time.monotonic() - started, 3)
            report("deploy_finished", **result)
        finally:
            sink.close()
        return result | {"text": text, "differences": differences(place.placed, text)}

    def _text(self, group: str) -> str:
        """Return what the file says: it is about all hosts of the group, whichever take part."""
        schema, backend, env = self._own["schema"] or "list", self._own["backend"] or "", self._own["env"] or {}
        check_choice("schema", schema, ("list", "object"))
        if not isinstance(backend, str):
            raise UsageError(f"mlx_backend: {backend!r}: want a name")
        if not isinstance(env, Mapping):
            raise UsageError(f"mlx_hostfile_env: {env!r}: want a mapping of names to values")
        made = render_hostfile(self._vars["groups"][group], self._vars["hostvars"], ranks=self._own["ranks"], backend=backend, env=env)
        return made.render(schema)

    def _path(self) -> str:
        """Return where the file goes on the controller, "" for nowhere; raise UsageError when the inventory is there."""
        given = self._own["path"] or ""
        if not isinstance(given, str) or "\0" in given:
            raise UsageError(f"mlx_hostfile_path: {given!r} is not a path")
        try:
            path = str(Path(given).expanduser().resolve()) if given else ""
        except (RuntimeError, OSError) as exc:  # no such user, links in a circle
            raise UsageError(f"mlx_hostfile_path: {given}: {exc}") from None
        if path and any(_reads(Path(source).resolve(), Path(path)) for source in self._hosts.sources):
            raise UsageError(f"mlx_hostfile_path: {given} is the inventory; name another file, or none with mlx_hostfile_path=''")
        return path


def _reads(source: Path, path: Path) -> bool:
    """Return whether an inventory source is this file, by whatever name, or a directory whose files are all read."""
    if source.is_dir():
        return path.is_relative_to(source)
    return path == source or (path.exists() and source.exists() and path.samefile(source))


def summary(placed: Placed, cause: Cause | None, *, check: bool) -> dict[str, Any]:
    """Return how it ended, as its event and the task's result tell it."""
    if not cause and placed.problems:
        text = f"{len(placed.problems)} hosts could not be given the hostfile: {', '.join(placed.problems)}"
        cause = Cause("not_ready", EXIT_NOT_READY, text)
    if not cause:
        cause = Cause("deployed", 0, _in_words(placed, "would change" if check else "changed"))
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": {host: [text] for host, text in placed.problems.items()},
        "hosts_changed": {host: ["hostfile"] for host in placed.changed},
        "root": placed.root,
        "path": placed.path,
        "path_changed": placed.changed_here,
    }


def _in_words(placed: Placed, done: str) -> str:
    hosts = f"hostfile on {len(placed.changed)} hosts {done}" if placed.changed else "hostfile: nothing to do on the hosts"
    return f"{hosts}; {placed.path} {done}" if placed.changed_here else hosts

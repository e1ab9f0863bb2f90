# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a hostfile on the controller and on all hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...module_utils.shared import atomic_file
from ..hosts.access import Access, chosen_root, possible_roots
from ..hosts.agents import Agent, HostFailed
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit, ProgressThrottle
from ..hosts.subprocesses import Cancelled
from ..job.errors import UsageError
from ..job.settings import JobSettings

_PATIENCE = 10.0  # seconds until the first report about hosts that are not done

Found = Mapping[str, Any]  # a file as it was before, see `atomic_file.place`


@dataclass(frozen=True)
class Placed:
    """Where the hostfile is now, or would be in check mode.

    Attributes:
        root: directory on the hosts; empty while that is not known.
        found: the file as it was before, by host.
        problems: why it could not be written there, by host.
        path: of the file on the controller, or empty.
        found_here: the file as it was before on the controller, None when none is wanted there.
    """

    root: str = ""
    found: Mapping[str, Found] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    found_here: Found | None = None

    @property
    def path_on_hosts(self) -> str:
        """Path of the file on every host."""
        return str(PurePosixPath(self.root) / atomic_file.NAME)

    @property
    def changed(self) -> list[str]:
        """The hosts that did not have it."""
        return [host for host, found in self.found.items() if not found["same"]]

    @property
    def changed_here(self) -> bool:
        """Whether the controller did not have it."""
        return self.found_here is not None and not self.found_here["same"]


class HostfileWriter:
    """Writes one text to all its places.

    Args:
        settings: root, and how long to wait for a host.
        access: how each host is reached.
        text: of the file.
        check: change nothing, only note the changes that would be made.
        fleet: the hosts, by default those of `access`.
    """

    def __init__(self, settings: JobSettings, access: Mapping[str, Access], text: str, *, check: bool, fleet: Fleet | None = None) -> None:
        self._settings = settings
        self._text = text
        self._check = check
        self._fleet = fleet or Fleet(access, settings)
        self._here = Placed()
        self._root = ""
        # Noted at once: what was written stays written when the rest is cancelled.
        self._found: dict[str, Found] = {}
        self._problems: dict[str, str] = {}

    @property
    def placed(self) -> Placed:
        """Where the file is by now."""
        hosts = self._fleet.access
        return Placed(
            self._root,
            {host: self._found[host] for host in hosts if host in self._found},
            {host: self._problems[host] for host in hosts if host in self._problems},
            self._here.path,
            self._here.found_here,
        )

    def write_here(self, path: str) -> None:
        """Write the file on the controller, into an existing directory; raise UsageError when that is impossible."""
        folder = Path(path).parent
        if not folder.is_dir():
            raise UsageError(f"mlx_hostfile_path: cannot write {path}: there is no directory {folder}")
        try:
            self._here = Placed(path=path, found_here=atomic_file.place(path, self._text, self._check))
        except OSError as exc:
            raise UsageError(f"mlx_hostfile_path: {atomic_file.complaint(path, exc)}") from None

    def stop(self) -> None:
        """End it from another thread."""
        self._fleet.stop()

    def write_on_hosts(self, emit: Emit) -> None:
        """Write the file on all hosts that can take it, whatever happens to the others.

        Args:
            emit: takes events: kind, host, details.
        """
        # Whoever cancels it reports why.
        with self._fleet.open(emit), contextlib.suppress(Cancelled):
            self._write(ProgressThrottle(emit, _PATIENCE))
        placed = self.placed
        for host in placed.changed:
            if not self._check:
                emit("host_deployed", host, what="hostfile", path=placed.path_on_hosts)

    def _write(self, throttle: ProgressThrottle) -> None:
        facts = self._ask(self._handshake, None, throttle)
        if facts:
            # Decided once: a host that fails later does not move the others' directory.
            self._root = chosen_root(self._settings, facts)
            self._ask(self._place, list(facts), throttle)

    def _ask(self, request: Callable[[Agent], Any], hosts: Sequence[str] | None, throttle: ProgressThrottle) -> Mapping[str, Any]:
        def text(pending: Sequence[str], _news: Mapping[str, str]) -> str:
            return f"waiting for {len(pending)} of {len(self._fleet.access)} hosts to take the hostfile: {', '.join(pending)}"

        def noting(agent: Agent) -> Any:
            try:
                return request(agent)
            except HostFailed as exc:
                self._problems[agent.host] = str(exc)
                raise

        answers = self._fleet.ask(text, noting, hosts, throttle=throttle)
        self._problems.update(answers.failed)
        return answers.results

    def _handshake(self, agent: Agent) -> Any:
        where = {"roots": possible_roots(self._settings), "trust_owner": self._settings.trust_owner}
        return agent.call("hello", lease=self._settings.lease, environment=None, **where)

    def _place(self, agent: Agent) -> None:
        self._found[agent.host] = agent.call("place_hostfile", root=self._root, text=self._text, check=self._check)

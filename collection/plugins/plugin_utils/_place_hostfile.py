# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: bring the text of one hostfile to its place, here and on all hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..module_utils import _hostfile_calls as calls
from ._agents import Agent, Agents
from ._children import Cancelled, Children
from ._deploy import Access, default_root
from ._errors import UsageError
from ._settings import JobSettings
from ._word import Word

_PATIENCE = 10.0  # seconds until a word about who is not done


@dataclass
class Placed:
    """What is where now, or would be in check mode. What was found at a place is told by `_hostfile_calls.place`.

    Attributes:
        root: directory on the hosts; empty while that is not known.
        found: what was found there, by host.
        problems: why it could not be written there, by host.
        path: of the file on the controller, or empty.
        found_here: what was found there, None for nothing asked for.
    """

    root: str = ""
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    path: str = ""
    found_here: dict[str, Any] | None = None

    @property
    def path_on_hosts(self) -> str:
        """Path of the file on every host."""
        return str(PurePosixPath(self.root) / calls.NAME)

    @property
    def changed(self) -> list[str]:
        """The hosts that did not have it."""
        return [host for host, found in self.found.items() if not found["same"]]

    @property
    def changed_here(self) -> bool:
        """Whether the controller did not have it."""
        return self.found_here is not None and not self.found_here["same"]


class Place:
    """One text, brought to where it belongs.

    Args:
        settings: root, and how long to wait for a host.
        hosts: how each is reached.
        text: of the file.
        check: change nothing, only tell what would change.

    Attributes:
        placed: what is where by now.
    """

    def __init__(self, settings: JobSettings, hosts: Mapping[str, Access], text: str, *, check: bool) -> None:
        self.placed = Placed()
        self._settings = settings
        self._hosts = hosts
        self._text = text
        self._check = check
        self._children = Children()
        self._agents: Agents | None = None

    def write_here(self, path: str) -> None:
        """Write the file on the controller, into a directory that is there; raise UsageError when it cannot be."""
        self.placed.path = path
        folder = Path(path).parent
        if not folder.is_dir():
            raise UsageError(f"mlx_hostfile_path: cannot write {path}: there is no directory {folder}")
        try:
            self.placed.found_here = calls.place(path, self._text, self._check)
        except OSError as exc:
            raise UsageError(f"mlx_hostfile_path: {calls.complaint(path, exc)}") from None

    def stop(self) -> None:
        """End it from another thread."""
        self._children.close()
        if self._agents:
            self._agents.close()

    def write_on_hosts(self, report: Callable[..., None]) -> None:
        """Write the file on all hosts that can take it, whatever the others do.

        Args:
            report: told events: name, host, details.
        """
        settings = self._settings
        commands = {host: access.argv(access.agent) for host, access in self._hosts.items()}
        with Agents(commands, settings.connect_timeout, settings.lease, lambda _host, _text: None, self._children) as self._agents:
            if self._children.closed:
                self._agents.close()
            with contextlib.suppress(Cancelled):  # whoever did it tells why
                self._write(self._agents, report)
            failed = self._agents.failed
        found = self.placed.found
        self.placed.found = {host: found[host] for host in self._hosts if host in found}
        self.placed.problems = {host: failed[host] for host in self._hosts if host in failed}
        for host in self.placed.changed:
            if not self._check:
                report("host_deployed", host, what="hostfile", path=self.placed.path_on_hosts)

    def _write(self, agents: Agents, report: Callable[..., None]) -> None:
        word = Word(report, patience=_PATIENCE)

        def on_wait(pending: Sequence[str]) -> None:
            word.say(f"waiting for {len(pending)} of {len(self._hosts)} hosts to take the hostfile: {', '.join(pending)}", pending)

        facts = agents.each(self._hello, on_wait=on_wait)
        if facts:
            # Decided once: a host that fails later does not move the others' directory.
            self.placed.root = self._settings.root or default_root(facts)
            agents.each(self._place, list(facts), on_wait)

    def _hello(self, agent: Agent) -> Any:
        return agent.call("hello", lease=self._settings.lease, root=self._settings.root, environment=None)

    def _place(self, agent: Agent) -> None:
        # Noted at once, not returned: what was written stays written when the rest is cancelled.
        self.placed.found[agent.host] = agent.call("place_hostfile", root=self.placed.root, text=self._text, check=self._check)


def differences(placed: Placed, text: str) -> list[dict[str, str]]:
    """Return what was, or would be, different, as Ansible's `diff` has it: hosts with the same together."""
    there = [(placed.path, placed.found_here)] if placed.found_here and placed.changed_here else []
    groups: dict[tuple[str, int | None], list[str]] = {}
    for host in placed.changed:
        groups.setdefault((placed.found[host]["before"], placed.found[host]["mode"]), []).append(host)
    there += [(f"{placed.path_on_hosts} on {', '.join(hosts)}", placed.found[hosts[0]]) for hosts in groups.values()]
    return [_difference(where, found, text) for where, found in there]


def _difference(where: str, found: Mapping[str, Any], text: str) -> dict[str, str]:
    if found["before"] == text:
        return {"prepared": f"{where}\nmode {found['mode']:04o}, to be {calls.MODE:04o}\n"}
    return {"before_header": where, "after_header": where, "before": found["before"], "after": text}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts after a look or a change, as data, with the outcome for a person and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ..output.escape import escape
from .items import BY_NAME
from .work import Work

FORMAT = 1
RIGHT, CHANGED, WOULD, NOT_HERE, FAILED, BY_HAND = "right", "changed", "would change", "not here", "failed", "by hand"
UNKNOWN = "not known"  # of an item that was to be changed when its host was lost
_INCOMPLETE = (FAILED, BY_HAND)


@dataclass(frozen=True)
class ItemState:
    """An item of one host.

    Attributes:
        name: of the item.
        state: RIGHT, CHANGED, WOULD, NOT_HERE, FAILED, BY_HAND or UNKNOWN.
        before, after: the settings, as text.
        text: the reason and the next step, one line, or empty.
        commands: lists of words that root has run, would run, or is to run by hand.
    """

    name: str
    state: str
    before: str = ""
    after: str = ""
    text: str = ""
    commands: Sequence[Sequence[str]] = ()

    @property
    def title(self) -> str:
        """The name for a person."""
        return BY_NAME[self.name].title if self.name in BY_NAME else self.name

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        commands = [list(command) for command in self.commands]
        return {"name": self.name, "state": self.state, "before": self.before, "after": self.after, "text": self.text, "commands": commands}


@dataclass(frozen=True)
class HostState:
    """One host.

    Attributes:
        host: inventory name.
        system: Darwin or Linux, empty when it could not be asked.
        items: those that are on there.
        failure: why it could not be asked or changed, and the next step, or empty.
    """

    host: str
    system: str = ""
    items: Sequence[ItemState] = ()
    failure: str = ""

    @classmethod
    def of(cls, host: str, answer: Mapping[str, Any]) -> HostState:
        """Return the host that gave an answer, in the shape that its call declares."""
        return cls(host, answer["system"], tuple(ItemState(**row) for row in answer["items"]))

    def having(self, *states: str) -> list[ItemState]:
        """Return the items in one of some states."""
        return [item for item in self.items if item.state in states]

    def unfinished(self, state: str, failure: str) -> HostState:
        """Return it with another state of the items that were to be changed, and the reason."""
        items = [replace(item, state=state) if item.state in (WOULD, BY_HAND) else item for item in self.items]
        return replace(self, items=tuple(items), failure=failure)

    @property
    def problems(self) -> Iterator[str]:
        """Whatever is not as it was wanted, a line each."""
        if self.failure:
            yield f"{self.host}: {self.failure}"
        for item in self.having(FAILED) + ([] if self.failure else self.having(BY_HAND)):
            yield f"{self.host}: {item.title}: {item.text or 'run its commands there'}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"host": self.host, "system": self.system, "items": [item.to_json() for item in self.items], "failure": self.failure}


@dataclass(frozen=True)
class Outcome:
    """All hosts, and the work that was done or was to be done there.

    Attributes:
        work: the work.
        hosts: in the order of the inventory.
        refused: whether nothing was changed anywhere, as a host cannot have what is wanted.
    """

    work: Work
    hosts: Sequence[HostState]
    refused: bool = False

    @property
    def problems(self) -> list[str]:
        """Whatever is not as it was wanted, a line each."""
        return [problem for host in self.hosts for problem in host.problems]

    @property
    def returncode(self) -> int:
        """The exit status."""
        return EXIT_NOT_READY if self.problems else 0

    @property
    def changed(self) -> bool:
        """Whether a host has changed, or in a dry run would."""
        return self.work.wanted and any(self._touched(host) for host in self.hosts)

    def _touched(self, host: HostState) -> list[ItemState]:
        """Return the items of a host that have changed, or would."""
        return [] if self.refused else host.having(CHANGED, UNKNOWN, *([] if self.work.writes else [WOULD]))

    @property
    def message(self) -> str:
        """The outcome as one line for a person."""
        problems = self.problems
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return f"{problems[0]}{more}{'; nothing was changed' if self.refused else ''}"
        touched = {host.host: len(items) for host in self.hosts if (items := self._touched(host))}
        count = sum(touched.values())
        where = f"{_counted(count, 'item')} on {_counted(len(touched), 'host')}"
        if not count:
            return "nothing to take back" if self.work.undo else f"{_counted(len(self.hosts), 'host')}: nothing to change"
        if not self.work.wanted:
            return f"{where} to change; --apply changes them"
        done = ("to be taken back" if self.work.undo else "to be set") if self.work.dry_run else "taken back" if self.work.undo else "set"
        return f"{where} {done}"

    def to_json(self) -> dict[str, Any]:
        """Return the document of `mlxlaunch prepare --json`."""
        return {
            "format": FORMAT,
            "returncode": self.returncode,
            "message": self.message,
            "changed": self.changed,
            "hosts": [host.to_json() for host in self.hosts],
            "problems": self.problems,
        }

    def diff(self) -> list[dict[str, str]]:
        """Return the changes as Ansible shows differences, escaped, one a host; none of a look that changes nothing."""
        if not self.work.wanted:
            return []
        return [
            {
                "before_header": host.host,
                "after_header": host.host,
                "before": _settings((item.title, item.before) for item in items),
                "after": _settings((item.title, item.after) for item in items),
            }
            for host in self.hosts
            if (items := self._touched(host))
        ]


def _settings(named: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{title}: {escape(text)}\n" for title, text in named)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s'[count == 1 :]}"

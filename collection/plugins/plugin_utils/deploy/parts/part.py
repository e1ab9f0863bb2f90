# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a deploy, and the means that it deploys with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ...hosts.access import Access
from ...hosts.agents import Agent
from ...hosts.fleet import Fleet, HostsFailed
from ...hosts.progress import Emit
from ...job.deployed import Deployed
from ..sender import Sender

Facts = Mapping[str, Mapping[str, Any]]  # by host
T = TypeVar("T")


class DeployRefused(HostsFailed):
    """Hosts cannot be deployed to; `problems` says why, by host."""


class ReadAgain(Exception):
    """Files here are not as they were scanned: `scan` and `resolve` have to come once more."""


class Part(Protocol):
    """One of the things that a deploy makes the same on all hosts.

    The methods are called in this order. `Deployed` has the results of all parts; each sets its own fields.

    Attributes:
        name: in events and results.
    """

    name: str

    @property
    def alone(self) -> bool:
        """Whether `scan` has to end before hosts are asked."""

    def scan(self, deployed: Deployed) -> Deployed:
        """Read the files on this machine."""

    def request(self, access: Access) -> dict[str, Any]:
        """Return arguments for the handshake with a host: questions whose answers `resolve` needs."""

    def resolve(self, facts: Facts, deployed: Deployed) -> Deployed:
        """Decide on one version for all hosts, and its path; raise HostsFailed when there is none."""

    def identity(self) -> dict[str, str]:
        """Return arguments that name this version in calls for its state, and when older ones are pruned."""

    def deploy(self, run: DeployRun, states: Facts, deployed: Deployed) -> Deployed:
        """Deploy it to the hosts that lack it, by their states.

        Raises:
            HostsFailed: for those that cannot take it.
            ReadAgain: it has changed here since it was scanned; a few times at most.
        """


@dataclass
class Ledger:
    """The changes of a deploy so far, which stand however it ends.

    Attributes:
        changed: by host, the parts that were deployed there.
        differences: by host, paths of files that were added, changed and removed.
    """

    changed: dict[str, list[str]] = field(default_factory=dict)
    differences: dict[str, dict[str, list[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class DeployRun:
    """The hosts of a deploy, and how a part works on them.

    Attributes:
        fleet: the hosts.
        emit: takes events: kind, host, details.
        ledger: of changes.
        facts: of each host, as its handshake returned them.
        sender: of files.
        check: change nothing, only note the changes that would be made.
        wants_differences: note the files that differ.
    """

    fleet: Fleet
    emit: Emit
    ledger: Ledger
    facts: Facts
    sender: Sender
    check: bool = False
    wants_differences: bool = False

    def ask(self, text: str, request: Callable[[Agent], T], hosts: Sequence[str] | None = None) -> dict[str, T]:
        """Return the answer of every host, or of those named; raise HostsFailed unless all give one."""
        return self.fleet.ask(text, request, hosts).all_or_raise()

    def deploy(self, part: str, path: str, text: str, request: Callable[[Agent], T], hosts: Sequence[str]) -> dict[str, T]:
        """Deploy a part to hosts, as `ask` does, and note it for each that has got it, also when others fail."""
        answers = self.fleet.ask(text, request, hosts)
        self.note(part, path, list(answers.results))
        return answers.all_or_raise()

    def note(self, part: str, path: str, hosts: Sequence[str]) -> None:
        """Note that hosts have got a part, or would get it."""
        for host in hosts:
            self.ledger.changed.setdefault(host, []).append(part)
            if not self.check:
                self.emit("host_deployed", host, what=part, path=path)

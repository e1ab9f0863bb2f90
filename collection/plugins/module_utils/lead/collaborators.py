# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects that a gang is given: connections to hosts, requests to stop, the decision of the go, and outputs.

A gang leads a job over objects of these kinds, wherever it runs. On the controller they are `hosts.connections`,
`caller.cancellation` and `output`; in tests they are scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import Frame


@dataclass(frozen=True)
class Arrival:
    """News from one host.

    Attributes:
        host: its inventory name.
        frames: those that have come; none is a sign of life too.
        lost: why the connection has ended, or None while it holds. It is closed then.
    """

    host: str
    frames: Sequence[Frame] = ()
    lost: str | None = None


class Connections(Protocol):
    """The open connections to hosts, at most one for each."""

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts with an open connection."""

    def open(self, host: str, *, fresh: bool, request: bytes) -> None:
        """Open a connection.

        Args:
            host: its inventory name.
            fresh: share no earlier connection, which may be broken.
            request: sent as soon as the supervisor at the other end has started.
        """

    def send(self, host: str, data: bytes) -> None:
        """Send bytes, now or when the connection takes them; nothing happens without an open connection."""

    def close(self, host: str, *, kill: bool = False) -> None:
        """Close a connection, if there is one; with `kill`, end its local process at once."""

    def pause(self) -> None:
        """Stop reading: output stays on the hosts."""

    def resume(self) -> None:
        """Read again."""

    def wait(self, timeout: float) -> Iterable[Arrival]:
        """Wait for news, at most `timeout` seconds; a request to stop ends the wait too.

        An arrival is read when it is its turn, so a connection that the last one closed does not show.
        """


@dataclass(frozen=True)
class StopRequest:
    """One request to end the job.

    Attributes:
        cause: who made it, as the outcome of the job.
        kill: end the ranks without grace.
        kill_if_stopping: the same, if the job is being ended already.
    """

    cause: Cause
    kill: bool = False
    kill_if_stopping: bool = False


class Stops(Protocol):
    """The sources of requests to stop, and of frames for the ranks' standard input."""

    def pending(self) -> list[StopRequest]:
        """Return the requests that have come since the last call."""

    def input(self) -> list[Frame]:
        """Return the frames for ranks that have come since the last call."""


@dataclass(frozen=True)
class Decision:
    """The decision that follows from the facts of all hosts.

    Attributes:
        problems: reasons for which hosts are not ready after all, by host.
        go: the message of each host's go, by host.
    """

    problems: Mapping[str, list[str]] = field(default_factory=dict)
    go: Mapping[str, Any] = field(default_factory=dict)


def no_decision(_facts: Mapping[str, Mapping[str, Any]]) -> Decision:
    """Return the decision for hosts that know from the start all they need."""
    return Decision()


# From the facts of all hosts, by host, when every one is ready.
Decide = Callable[[Mapping[str, Mapping[str, Any]]], Decision]


class Reporter(Protocol):
    """The way of events and output to all sinks."""

    def emit(self, kind: str, /, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        """Send an event."""

    def output(self, host: str, rank: int, stream: str, offset: int, payload: bytes) -> None:
        """Send a rank's output."""


class Fanout(Protocol):
    """The sinks, as one."""

    @property
    def backlog(self) -> int:
        """Bytes that are to be written before more can come."""

    @property
    def broken(self) -> bool:
        """Whether a reader is gone."""

    def deadline(self) -> float | None:
        """Return when `tick` is due, or None."""

    def tick(self, now: float) -> None:
        """Do what is due at `now`, monotonic seconds."""

    def safe(self) -> list[tuple[int, str, int]]:
        """Return (rank, stream, offset) for output that is on the disk up to an offset, since the last call."""

    def warnings(self) -> list[str]:
        """Return the warnings for a person since the last call."""

    def forward(self, frame: bytes) -> None:
        """Send a frame to the launching program, if there is one; a later one of its kind and rank replaces it."""

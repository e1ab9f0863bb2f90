# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds over all hosts of a deploy or a check: the same request to every host, at the same time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

from ...module_utils.shared import wire
from ..job.settings import JobSettings
from .access import Access
from .agents import Agent, AgentClient, HostFailed, Limits, Progress
from .connection import not_started, start_process
from .descriptors import reserve
from .early.handed import all_taken
from .early.kept import AGENT
from .progress import Emit, ProgressThrottle, Text, doing
from .subprocesses import Subprocesses

_WAIT = 0.5  # seconds between two looks at which hosts are not done
_PARTING = 5.0  # seconds agents may take to go

T = TypeVar("T")


class HostsFailed(Exception):
    """Hosts could not do their part; `problems` says why, by host."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Answers(Generic[T]):
    """The outcome of one round.

    Attributes:
        results: by host, in the order of the hosts asked.
        failed: the reason, for each host without a result.
    """

    results: Mapping[str, T] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def all_or_raise(self) -> dict[str, T]:
        """Return the results of all hosts, or raise HostsFailed when one has none."""
        if self.failed:
            raise HostsFailed(self.failed)
        return dict(self.results)


class FleetAgent(Agent, Protocol):
    """An agent, as the fleet that owns it sees it; see `AgentClient`."""

    def flush(self) -> None:
        """Send as much as the connection takes."""

    def ping(self) -> None:
        """Show the host that we are there."""

    def close(self) -> None:
        """Let go of the host."""

    def finish(self, patience: float) -> None:
        """Wait so many seconds for the end of the connection, then cut it."""


Connect = Callable[[str, Sequence[str], Limits, Progress, Subprocesses], FleetAgent]


def connect_agent(host: str, argv: Sequence[str], limits: Limits, progress: Progress, subprocesses: Subprocesses) -> AgentClient:
    """Start an agent on a host; see `AgentClient`."""
    return AgentClient(host, start_process(argv), limits, progress, subprocesses, again=lambda: start_process(argv))


class Fleet:
    """An agent on each host, and the programs that run here on their behalf. None outlives `open`.

    Args:
        access: how each host is reached.
        settings: those of the job; they limit how long a silent host is waited for.
        connect: starts the agent of a host, given the local command.

    Attributes:
        access: as given.
        subprocesses: programs of this deploy or check.
    """

    def __init__(self, access: Mapping[str, Access], settings: JobSettings, connect: Connect = connect_agent) -> None:
        self.access = access
        self.subprocesses = Subprocesses()
        self._limits = Limits(settings.connect_timeout, settings.lease)
        self._connect = connect
        self._emit: Emit = _ignore
        self._agents: dict[str, FleetAgent] = {}
        self._not_started: dict[str, str] = {}
        self._news: dict[str, str] = {}

    @contextlib.contextmanager
    def open(self, emit: Emit) -> Iterator[Self]:
        """Start an agent on every host, and leave none.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            UsageError: this machine does not allow as many open files as the hosts need.
        """
        reserve(len(self.access))
        self._emit = emit
        finished = threading.Event()
        pulse = threading.Thread(target=self._ping, args=(finished,), daemon=True)
        agents: dict[str, FleetAgent] = {}
        commands = {host: access.argv(access.agent) for host, access in self.access.items()}
        try:
            for host, argv in commands.items():
                try:
                    agents[host] = self._connect(host, argv, self._limits, self._note, self.subprocesses)
                except OSError as exc:  # that host's trouble, in every round
                    self._not_started[host] = not_started(exc)
                    continue
                agents[host].flush()  # its Python starts while we turn to the next host
            all_taken(AGENT, commands.values())
            self._agents = agents
            if self.subprocesses.closed:
                self.stop()
            pulse.start()
            yield self
        finally:
            finished.set()
            _finish(agents.values())

    def stop(self) -> None:
        """End everything, from any thread; `ask` raises Cancelled."""
        self.subprocesses.close()
        for agent in self._agents.values():
            agent.close()

    def ask(
        self,
        text: str | Text,
        request: Callable[[Agent], T],
        hosts: Sequence[str] | None = None,
        *,
        meanwhile: Callable[[], None] | None = None,
        throttle: ProgressThrottle | None = None,
    ) -> Answers[T]:
        """Run a request for every host, each in a thread, and return the answers; a failure disturbs no other host.

        Args:
            text: of the progress that is reported when hosts take long.
            request: is given a host's agent; HostFailed makes the host one that failed.
            hosts: which to ask, all by default.
            meanwhile: is called here while hosts are at work; its exception ends them all.
            throttle: of the progress; by default a new one for each round.

        Raises:
            Cancelled: `stop` was called.
        """
        chosen = list(self.access if hosts is None else hosts)
        if not chosen:
            return Answers()
        self._news.clear()
        throttle = throttle or ProgressThrottle(self._emit)
        text = doing(text) if isinstance(text, str) else text
        results: dict[str, T] = {}
        failed: dict[str, str] = {}

        def one(host: str) -> None:
            try:
                results[host] = request(self._agent(host))
            except (HostFailed, wire.WireError) as exc:
                failed[host] = str(exc)
            except OSError as exc:  # of this machine: its disk is full, for example
                failed[host] = f"on this machine: {exc.strerror or exc}" + (f": {exc.filename}" if exc.filename else "")

        with ThreadPoolExecutor(len(chosen)) as pool:
            futures = {pool.submit(one, host): host for host in chosen}
            self._call_meanwhile(meanwhile)
            pending: set[Future[None]] = set(futures)
            while pending:
                pending = wait(pending, _WAIT).not_done
                if pending:
                    waiting = [host for future, host in futures.items() if future in pending]
                    throttle.update(text(waiting, self._news), waiting)
            for future in futures:
                future.result()
        return Answers(_in_order(chosen, results), _in_order(chosen, failed))

    def _agent(self, host: str) -> FleetAgent:
        if host in self._not_started:
            raise HostFailed(self._not_started[host])
        return self._agents[host]

    def _call_meanwhile(self, function: Callable[[], None] | None) -> None:
        try:
            if function:
                function()
        except BaseException:
            self.stop()
            raise

    def _note(self, host: str, text: str) -> None:
        self._news[host] = text

    def _ping(self, finished: threading.Event) -> None:
        while not finished.wait(self._limits.lease / 3):
            for agent in self._agents.values():
                agent.ping()


def _finish(agents: Any) -> None:
    """Let go of all agents at once, and wait for them together."""
    for agent in agents:
        agent.close()
    deadline = time.monotonic() + _PARTING
    for agent in agents:
        agent.finish(max(0.0, deadline - time.monotonic()))


def _in_order(hosts: Sequence[str], values: Mapping[str, T]) -> dict[str, T]:
    return {host: values[host] for host in hosts if host in values}


def _ignore(*_args: Any, **_details: Any) -> None:
    """Take an event before there is anybody to report to."""

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a job, and the part of its hosts in each.

OPENING   every host is asked whether it is ready; no rank runs anywhere
RUNNING   all were ready and got their go
STOPPING  something ended the job; every host is asked to end its ranks and to confirm
FINISHED  every host has confirmed, or is known to be out of reach; or no rank was started at all
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.actions import Close, Miss, Outbox, Recover
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.barrier import Barrier, not_ready
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import (
    GO,
    H_DONE,
    H_LOST,
    H_OPENING,
    H_RECOVERING,
    H_REFUSED,
    H_RUNNING,
    LATE,
    REFUSED,
    RETRY,
    Hosts,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import NOTICE, PING, TIME_LIMIT, Limits, Timers
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause, JobOutcome
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.exit_status import EXIT_NOT_READY, EXIT_TIMEOUT

OPENING, RUNNING, STOPPING, FINISHED = "opening", "running", "stopping", "finished"


class Phases:
    """The phase of one run of a job.

    Args:
        hosts: the states of its hosts.
        barrier: the condition for the go.
        outcome: gets the cause of the end.
        limits: its times.
        out: gets the actions.
        now: monotonic seconds, as for every method that takes them.

    Attributes:
        phase: one of the four above.
        went: whether hosts were told to go.
    """

    def __init__(self, hosts: Hosts, barrier: Barrier, outcome: JobOutcome, limits: Limits, out: Outbox, now: float) -> None:
        self.phase = OPENING
        self.went = False
        self._hosts = hosts
        self._barrier = barrier
        self._outcome = outcome
        self._limits = limits
        self._out = out
        self._timers = Timers(limits, now)
        self._killing = False

    def begin(self, now: float) -> None:
        """Count the times from now, when the channels are about to be opened."""
        self._hosts.begin(now)
        self._timers.on_opening(now)

    def step(self, host: str, event: str, now: float, *reasons: str) -> None:
        """Let an event happen to a host, and start its consequences.

        Args:
            host: its name.
            event: one of those of `HostMachine`.
            now: monotonic seconds.
            reasons: for a refusal all problems, else one line.
        """
        machine = self._hosts[host]
        before = machine.state
        if not machine.step(event, now, reasons):
            return
        if machine.state == H_REFUSED:
            self._out.add(*[Close(host)] if event == LATE else [])
            self._out.emit("host_refused", host, problems=list(reasons))
            self.maybe_go(now)
        elif machine.state == H_RECOVERING and before == H_RUNNING:
            self._out.emit("host_lost", host, text=reasons[0])
            self.stop(Cause("host_lost", EXIT_NOT_READY, f"{host}: {reasons[0]}"), now)
            self._out.add(Close(host), Recover(host))
        elif event == RETRY:
            self._out.add(Recover(host))
        elif machine.state == H_LOST:
            self._out.add(Miss(host, machine.out_of_reach(reasons[0])), Close(host))
        elif machine.state == H_DONE:
            self._out.send(host, wire.BYE)
        if self.phase in (RUNNING, STOPPING) and self._hosts.over:
            self._finish()

    def tick(self, now: float) -> None:
        """Let the events happen that are due by the clock."""
        for host, machine in self._hosts.items():
            due = machine.due(now)
            if due:
                self.step(host, due[0], now, due[1])
        for timer in self._timers.due(now):
            if timer == TIME_LIMIT:
                self.stop(Cause("timeout", EXIT_TIMEOUT, f"the job has run for its limit of {self._limits.timeout:g} s"), now)
            elif timer == NOTICE:
                self._emit_waiting()
            elif timer == PING:
                for host in self._hosts.leased:
                    self._out.send(host, wire.PING)

    @property
    def deadline(self) -> float:
        """When something is due."""
        return min(self._timers.deadline, self._hosts.deadline)

    # -- from phase to phase

    def maybe_go(self, now: float) -> None:
        """Start the job when every host is ready; end it when all have answered and one is not."""
        decision = self._barrier.decision(self._hosts) if self.phase == OPENING else None
        if decision is None:
            return
        for host, problems in decision.problems.items():
            self._hosts[host].step(REFUSED, now, problems)
            self._out.emit("host_refused", host, problems=problems)
        cause = not_ready(self._hosts)
        if cause:
            self._abandon(cause)
        else:
            self._go(decision.go, now)

    def _go(self, messages: Mapping[str, Any], now: float) -> None:
        for host, text in self._barrier.differences(self._hosts):
            self._out.emit("warning", host, text=text)
        self.phase, self.went = RUNNING, True
        self._timers.on_go(now)
        for host, machine in self._hosts.items():
            machine.step(GO, now)
            self._out.send(host, wire.GO, messages.get(host))

    def end(self, cause: Cause, now: float, *, kill: bool) -> None:
        """End the job in any phase; with `kill`, or when called a second time with it, without grace."""
        if self.phase == OPENING:
            self._abandon(cause)
        elif self.phase == RUNNING:
            self._killing = kill
            self.stop(cause, now)
        elif self.phase == STOPPING and kill and not self._killing:
            self._killing = True
            for host in self._hosts.within(H_RUNNING):
                self._out.send(host, wire.KILL)
                self._hosts[host].expect_end(now, 0.0)

    def stop(self, cause: Cause, now: float) -> None:
        """End the ranks, when they run."""
        if self.phase != RUNNING:
            return
        self.phase, self._outcome.cause = STOPPING, cause
        self._timers.on_stop(now)
        self._out.emit("job_stopping", cause=cause.kind, text=cause.message)
        for host in self._hosts.within(H_RUNNING):
            self._out.send(host, wire.KILL if self._killing else wire.STOP, {"grace": self._limits.grace})
            self._hosts[host].expect_end(now, self._limits.grace)

    def _abandon(self, cause: Cause) -> None:
        """End a job of which nothing has started."""
        self._finish()
        self._outcome.cause = cause
        for host, machine in self._hosts.items():
            if machine.state == H_OPENING:
                self._out.add(Close(host))
            else:
                self._out.send(host, wire.BYE)

    def _finish(self) -> None:
        self.phase = FINISHED
        self._timers.on_end()

    def _emit_waiting(self) -> None:
        if self.phase == OPENING:
            late = self._hosts.within(H_OPENING)
            text = f"waiting for {len(late)} of {len(self._hosts)} hosts to be ready: {', '.join(late)}"
        else:
            late = self._hosts.within(H_RUNNING, H_RECOVERING)
            text = f"waiting for the ranks on {', '.join(late)} to end (grace {self._limits.grace:g} s)"
        self._out.emit("waiting", text=text, hosts=late)

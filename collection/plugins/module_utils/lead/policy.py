# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a job: events of its hosts, its ranks and the clock in, actions out; no process, socket or clock.

`host` has the states of one host, `barrier` the decision on the go, `phases` the way from the first channel to the
last confirmation, `outcome` the ends of the ranks and the exit status, `mpirun` the rules for jobs under mpirun.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.actions import Action, Close, Emit, Miss, Outbox, Recover, Send
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.barrier import Barrier
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decide, no_decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import (
    CLOSED,
    DONE,
    H_OPENING,
    H_RECOVERING,
    READY,
    REFUSED,
    Hosts,
    UnexpectedEvent,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Limits
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause, JobOutcome, cause_of, first_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.phases import FINISHED, OPENING, RUNNING, STOPPING, Phases
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.exit_status import EXIT_NOT_READY

if TYPE_CHECKING:
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpirun import MpirunMachine

# All that a driver of the policy needs.
__all__ = ["FINISHED", "OPENING", "RUNNING", "STOPPING", "Action", "Close", "Emit", "Limits", "Miss", "Policy", "Recover", "Send"]

# Facts that are for the decision at the barrier only.
_FOR_DECISION = ("address", "others", "shifts", "uid", "mpirun", "environment", "values")


class Policy:
    """The state of one run of a job.

    Large, as it has a method for each event.

    A policy is made for one run and keeps nothing outside itself: to run the job again, make another one. It does not
    know by which kind of connection hosts are reached, nor on which machine it is asked.

    Args:
        table: the job's ranks.
        limits: its times.
        now: monotonic seconds; every method that takes `now` wants the same clock.
        declared: names of variables that the job sets; differences between hosts in these do not count.
        decide: decides from the facts of all hosts, when every one is ready, whether they are and with which go.
        mpirun: its part, when it starts the ranks.

    Attributes:
        hosts: the state of each host, by its name.
    """

    def __init__(
        self,
        table: RankTable,
        limits: Limits,
        now: float,
        *,
        declared: Collection[str] = (),
        decide: Decide = no_decision,
        mpirun: MpirunMachine | None = None,
    ) -> None:
        self.table = table
        self.limits = limits
        self.hosts = Hosts(table.hosts, limits, now)
        self._out = Outbox()
        self._started: set[int] = set()
        self._mpirun = mpirun
        self._outcome = JobOutcome(table.world_size, mpirun.blame if mpirun else first_of)
        self._phases = Phases(self.hosts, Barrier(decide, declared), self._outcome, limits, self._out, now)

    def begin(self, now: float) -> None:
        """Count the times from now, when the channels are about to be opened."""
        self._phases.begin(now)

    def take(self) -> list[Action]:
        """Return the actions to carry out since the last call."""
        return self._out.take()

    # -- events of hosts

    def on_ready(self, host: str, facts: dict[str, Any], now: float) -> None:
        """A host is ready to start its ranks."""
        machine = self.hosts[host]
        machine.heard = now
        if machine.step(READY, now):
            machine.facts = facts
            known = {name: value for name, value in facts.items() if name not in _FOR_DECISION}
            self._out.emit("host_ready", host, **known, environment=sorted(facts.get("environment", ())))
            if facts.get("values"):
                self._out.emit("host_environment", host, variables=facts["values"])
            self._phases.maybe_go(now)

    def on_refused(self, host: str, problems: Sequence[str], now: float) -> None:
        """A host cannot start its ranks, or was not reached at all."""
        self._phases.step(host, REFUSED, now, *problems)

    def refuse(self, problems: Mapping[str, Sequence[str]], now: float) -> None:
        """Refuse hosts on which the deploy before the launch failed. The others are still asked."""
        for host, found in problems.items():
            self.on_refused(host, found, now)

    def on_done(self, host: str, left: Mapping[str, str], written: str = "") -> None:
        """A host confirms that no process of the job is left, or names those it could not end.

        Args:
            host: its name.
            left: names of these, by process id.
            written: a file that the job has written into its project there, "" for none.
        """
        self.hosts[host].written = written
        if left:
            names = ", ".join(f"{name} ({pid})" for pid, name in left.items())
            self._out.emit("warning", host, text=f"processes of this job could not be ended: {names}")
        self._phases.step(host, DONE, self.hosts[host].heard, "its supervisor ended before the go, as at a shutdown of the host")

    def on_heard(self, host: str, now: float) -> None:
        """Something has come from a host, which renews its lease."""
        self.hosts[host].heard = now

    def on_unread(self, seconds: float) -> None:
        """Nothing was read for so many seconds: neither silence nor a missing answer says anything about a host."""
        self.hosts.postpone(seconds)

    def on_closed(self, host: str, reason: str, now: float) -> None:
        """A host's channel has ended; `reason` is the last line of ssh or of the supervisor."""
        self._phases.step(host, CLOSED, now, reason)

    # -- events of ranks

    def on_started(self, rank: int, pid: int) -> None:
        """A rank's process exists. It starts once, and a recovery does not repeat that."""
        host = self.table.ranks[rank].host
        if rank in self._started:
            raise UnexpectedEvent(f"{host}: reports a second start of rank {rank}")
        self._started.add(rank)
        self._out.emit("rank_started", host, rank, pid=pid)
        if self._mpirun:
            self._mpirun.on_rank(rank)

    def on_exited(self, rank: int, how: Mapping[str, Any], now: float) -> None:
        """A rank's process has ended; `how` is the supervisor's account of it."""
        end = RankEnd.from_wire(rank, self.table.ranks[rank].host, how)
        if not self._outcome.add(end):
            return
        self._out.emit("rank_exited", end.host, rank, **end.details())
        if end.failed and not end.stopped:
            self._on_failed(now)
        elif end.stopped:
            text = f"{end.host}: ended its ranks unasked, as a host does that shuts down"
            self._phases.stop(Cause("host_lost", EXIT_NOT_READY, text), now)
        if self._mpirun:
            self._mpirun.on_rank(rank)
            if self.phase == RUNNING and self._outcome.complete:
                # mpirun and its daemons end by themselves; this is where their time begins to count.
                self._out.add(*(Send(host, wire.STOP, {"grace": self.limits.grace}) for host in self.hosts))

    def _on_failed(self, now: float) -> None:
        """A rank has failed: the job ends because of the first, which the latest news may be about."""
        first = self.first_failure
        if first is None or (self._mpirun and self.phase == RUNNING and self._mpirun.doubts(first, now)):
            return
        self._phases.stop(cause_of(first), now)
        self._outcome.blame(first)

    # -- events of mpirun, on the host that runs it or one of its daemons

    def on_wanted(self, host: str, message: Mapping[str, Any]) -> None:
        """Mpirun, on `host`, requests its daemon on another one."""
        self._out.add(*self._under_mpirun(host).wanted(host, message, self.hosts.facts, running=self.phase == RUNNING))

    def on_said(self, host: str, name: str, text: str) -> None:
        """Mpirun or its daemon has printed something. While the job is being ended it is about the consequences."""
        news = self._under_mpirun(host).said(text)
        if news and self.phase != STOPPING:
            self._out.emit("mpirun_said", host, name=name, text=news)

    def on_exited_service(self, host: str, how: Mapping[str, Any], now: float) -> None:
        """Mpirun or its daemon has ended on a host; while ranks run, that is news."""
        mpirun = self._under_mpirun(host)
        if self.phase == RUNNING and not self._outcome.complete:
            mpirun.exited(host, how, now)

    def _under_mpirun(self, host: str) -> MpirunMachine:
        if self._mpirun is None:
            raise UnexpectedEvent(f"{host}: an event of mpirun does not fit a job that it does not run")
        return self._mpirun

    # -- events from outside

    def stop(self, cause: Cause, now: float, *, kill: bool = False) -> None:
        """End the job; with `kill`, or when called a second time with it, without grace."""
        self._phases.end(cause, now, kill=kill)

    def on_tick(self, now: float) -> None:
        """Let the events happen that are due by the clock; call at `deadline()` or later."""
        self._phases.tick(now)
        if self._mpirun and self.phase == RUNNING:
            cause = self._mpirun.due(now, self.first_failure)
            if cause:
                self._phases.stop(cause, now)

    def deadline(self) -> float:
        """Return when `on_tick` has to be called at the latest."""
        under_mpirun = [self._mpirun.deadline] if self._mpirun and self.phase == RUNNING else []
        return min([self._phases.deadline, *under_mpirun])

    # -- the state, and the outcome

    @property
    def phase(self) -> str:
        """One of OPENING, RUNNING, STOPPING, FINISHED."""
        return self._phases.phase

    @property
    def went(self) -> bool:
        """Whether hosts were told to go: ranks run, or have run."""
        return self._phases.went

    @property
    def opening(self) -> list[str]:
        """Hosts that have not answered yet whether they are ready."""
        return self.hosts.within(H_OPENING)

    def recovering(self, host: str) -> bool:
        """Return whether a channel to the host is for the recovery of an earlier one."""
        return self.hosts[host].state == H_RECOVERING

    @property
    def problems(self) -> dict[str, list[str]]:
        """The reasons for which hosts are not ready, by host; empty when all were."""
        return self.hosts.problems

    @property
    def ends(self) -> Mapping[int, RankEnd]:
        """The ends of the ranks, by rank."""
        return self._outcome.ends

    @property
    def cause(self) -> Cause | None:
        """The cause of the job's early end, None when there is none so far."""
        return self._outcome.cause

    @property
    def first_failure(self) -> RankEnd | None:
        """The rank that is to blame: it failed first, by its own host's clock; not one that was stopped."""
        return self._outcome.first_failure

    @property
    def returncode(self) -> int:
        """The exit status of the whole job."""
        return self._outcome.returncode

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what the gang does about what happens. Events in, actions out; no process, socket or clock.

OPENING   every host is asked whether it is ready; no rank runs anywhere
RUNNING   all were ready and got their go
STOPPING  something ended the job; every host is told to end its ranks and to confirm
FINISHED  every host has confirmed, or is known to be out of reach
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import _wire as wire
from ._compare import differences
from ._errors import EXIT_INTERNAL, EXIT_NOT_READY, EXIT_TIMEOUT
from ._exits import RankEnd, describe_end
from ._ranktable import RankTable

OPENING, RUNNING, STOPPING, FINISHED = "opening", "running", "stopping", "finished"

# A host: on its way, able to start, unable to, running, cut off and asked once more, all ended, out of reach.
H_OPENING, H_READY, H_REFUSED, H_RUNNING, H_RECOVERING, H_DONE, H_LOST = (
    "opening",
    "ready",
    "refused",
    "running",
    "recovering",
    "done",
    "lost",
)
SETTLED = (H_READY, H_REFUSED)
OVER = (H_REFUSED, H_DONE, H_LOST)

# Beyond grace: the supervisor's own patience after KILL (Ender.GIVE_UP), and the way there and back.
CONFIRM = 15.0

# Seconds between two tries to reach a host again.
RETRY_AFTER = 1.0

# Seconds by which the go may reach one host later than another.
SKEW = 0.1

# Causes that are, or may turn out to be, the failure of a rank.
_FROM_RANKS = ("rank_failed", "mpirun_failed")

# Facts that are for `settle` only.
_TO_SETTLE = ("shifts", "uid", "mpirun")

# Seconds of waiting after which a person wants to know what for, and how often they want to be told.
PATIENCE = 2.0
WORD_EVERY = 5.0


@dataclass(frozen=True)
class Limits:
    """The times that rule a job, in seconds.

    Attributes:
        grace: between TERM and KILL.
        lease: how long either side stays silent before the other gives it up.
        connect: how long a host may take until it is ready.
        timeout: how long the ranks may run; 0 for ever.
        recover: how long to try to reach a host again whose channel broke.
    """

    grace: float = 10.0
    lease: float = 30.0
    connect: float = 30.0
    timeout: float = 0.0
    recover: float = 10.0


@dataclass(frozen=True)
class Tell:
    """Send a frame to a host."""

    host: str
    kind: int
    message: Any = None


@dataclass(frozen=True)
class Close:
    """Give up a host's channel."""

    host: str


@dataclass(frozen=True)
class Recover:
    """Open a new channel to a host whose first one broke."""

    host: str


@dataclass(frozen=True)
class Report:
    """Let the world know."""

    event: str
    host: str | None = None
    rank: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cause:
    """Why the job ends early: the exit status it stands for, and one line for a person."""

    kind: str
    returncode: int
    message: str


@dataclass(frozen=True)
class Settled:
    """What the facts of all hosts decide.

    Attributes:
        problems: what keeps hosts from being ready after all, by host.
        go: what each host is told with its go.
    """

    problems: Mapping[str, list[str]] = field(default_factory=dict)
    go: Mapping[str, Any] = field(default_factory=dict)


def nothing_to_settle(_facts: Mapping[str, Mapping[str, Any]]) -> Settled:
    """Every host knows from the start what it needs."""
    return Settled()


Settle = Callable[[Mapping[str, Mapping[str, Any]]], Settled]
Action = Tell | Close | Recover | Report


@dataclass
class HostState:
    """What is known of one host."""

    state: str
    heard: float
    deadline: float
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    retry_at: float | None = None
    retry_until: float = 0.0


def first_of(ends: Iterable[RankEnd]) -> RankEnd | None:
    """Return the earliest of some ends, which are given as their news came; None of none."""
    first = None
    for end in ends:
        if first is None or end.duration < first.duration - SKEW:
            first = end
    return first


class Policy:
    """The state of one job.

    Args:
        table: its ranks.
        limits: its times.
        now: monotonic seconds; every method that takes `now` wants the same clock.
        declared: variables that the job sets, so that what hosts have under these names does not count.

    Attributes:
        settle: called with the facts of all hosts when every one is ready.
    """

    def __init__(self, table: RankTable, limits: Limits, now: float, declared: Collection[str] = ()) -> None:
        self.table = table
        self.settle: Settle = nothing_to_settle
        self.limits = limits
        self.phase = OPENING
        self.cause: Cause | None = None
        self.hosts = {host: HostState(H_OPENING, now, now + limits.connect) for host in table.hosts}
        self.ends: dict[int, RankEnd] = {}
        self._host_of = {rank.rank: rank.host for rank in table.ranks}
        self._started_at: float | None = None
        self._killing = False
        self._declared = declared
        self._next_ping = now + limits.lease / 3
        self._next_word = now + PATIENCE
        self._actions: list[Action] = []

    def begin(self, now: float) -> None:
        """The channels are about to be opened."""
        for state in self.hosts.values():
            state.heard, state.deadline = now, now + self.limits.connect
        self._next_ping = now + self.limits.lease / 3
        self._next_word = now + PATIENCE

    def take(self) -> list[Action]:
        """Return the actions to carry out since the last call."""
        actions, self._actions = self._actions, []
        return actions

    # -- what comes from hosts

    def on_ready(self, host: str, facts: dict[str, Any], now: float) -> None:
        """A host is ready to start its ranks."""
        state = self.hosts[host]
        state.heard, state.facts = now, facts
        if state.state != H_OPENING:
            return
        state.state = H_READY
        self._report("host_ready", host, **{name: value for name, value in facts.items() if name not in _TO_SETTLE})
        self._maybe_go(now)

    def on_refused(self, host: str, problems: list[str], now: float) -> None:
        """A host cannot start its ranks, or was not reached at all."""
        state = self.hosts[host]
        if state.state != H_OPENING:
            return
        state.state, state.problems = H_REFUSED, list(problems)
        self._report("host_refused", host, problems=list(problems))
        self._maybe_go(now)

    def refuse(self, problems: Mapping[str, list[str]], now: float) -> None:
        """Hosts cannot be made ready: what they need could not be brought to them. The others are still asked."""
        for host, found in problems.items():
            self.on_refused(host, found, now)

    @property
    def opening(self) -> list[str]:
        """Hosts that have not said yet whether they are ready."""
        return [host for host, state in self.hosts.items() if state.state == H_OPENING]

    def on_started(self, rank: int, pid: int) -> None:
        """A rank's process exists."""
        self._report("rank_started", self._host_of[rank], rank, pid=pid)

    def on_exited(self, rank: int, how: Mapping[str, Any], now: float) -> None:
        """A rank's process has ended; `how` is the supervisor's account of it."""
        if rank in self.ends:
            return
        end = RankEnd.from_wire(rank, self._host_of[rank], how)
        self.ends[rank] = end
        self._report(
            "rank_exited",
            end.host,
            rank,
            returncode=end.returncode,
            signal=end.signal_name,
            duration=round(end.duration, 3),
            stopped=end.stopped,
            error=end.error,
        )
        if end.failed and not end.stopped:
            self._on_failed(now)
        elif end.stopped and self.phase == RUNNING:
            text = f"{end.host}: ended its ranks unasked, as a host does that shuts down"
            self._stop(Cause("host_lost", EXIT_NOT_READY, text), now)

    def on_done(self, host: str, left: Mapping[str, str]) -> None:
        """A host confirms that no process of the job is left, or names those it could not end."""
        if left:
            names = ", ".join(f"{name} ({pid})" for pid, name in left.items())
            self._report("warning", host, text=f"processes of this job could not be ended: {names}")
        self._tell(host, wire.BYE)
        self.hosts[host].state = H_DONE
        self._maybe_finish()

    def on_heard(self, host: str, now: float) -> None:
        """Something, whatever it is, has come from a host."""
        self.hosts[host].heard = now

    def on_closed(self, host: str, reason: str, now: float) -> None:
        """A host's channel has ended; `reason` is what ssh or the supervisor had to say."""
        state = self.hosts[host].state
        if state == H_OPENING:
            self.on_refused(host, [reason], now)
        elif state == H_READY:
            self.hosts[host].state = H_OPENING
            self.on_refused(host, [reason], now)
        elif state == H_RUNNING:
            self._lost(host, reason, now)
        elif state == H_RECOVERING:
            self._try_again(host, reason, now)

    # -- what comes from outside

    def stop(self, cause: Cause, now: float, *, kill: bool = False) -> None:
        """End the job; with `kill`, or when asked a second time with it, without grace."""
        if self.phase == OPENING:
            self.cause = self.cause or cause
            self._abandon()
        elif self.phase == RUNNING:
            self._killing = kill
            self._stop(cause, now)
        elif self.phase == STOPPING and kill and not self._killing:
            self._killing = True
            for host, state in self.hosts.items():
                if state.state == H_RUNNING:
                    self._tell(host, wire.KILL)
                    state.deadline = now + CONFIRM

    def on_tick(self, now: float) -> None:
        """Do what is due; call at `deadline()` or later."""
        for host, state in self.hosts.items():
            self._check_host(host, state, now)
        if self.phase == RUNNING and self._overtime(now):
            text = f"the job has run for its limit of {self.limits.timeout:g} s"
            self._stop(Cause("timeout", EXIT_TIMEOUT, text), now)
        if self.phase in (OPENING, STOPPING) and now >= self._next_word:
            self._next_word = now + WORD_EVERY
            self._report_waiting()
        if now >= self._next_ping:
            self._next_ping = now + self.limits.lease / 3
            for host, state in self.hosts.items():
                if state.state in (H_READY, H_RUNNING):
                    self._tell(host, wire.PING)

    def deadline(self) -> float:
        """Return when `on_tick` has to be called at the latest."""
        times = [self._next_ping]
        if self.phase in (OPENING, STOPPING):
            times.append(self._next_word)
        if self._started_at is not None and self.limits.timeout and self.phase == RUNNING:
            times.append(self._started_at + self.limits.timeout)
        for state in self.hosts.values():
            if state.state in (H_OPENING, H_RECOVERING) or (state.state == H_RUNNING and self.phase == STOPPING):
                times.append(state.deadline)
            if state.state in (H_READY, H_RUNNING):
                times.append(state.heard + self.limits.lease)
            if state.state == H_RECOVERING and state.retry_at is not None:
                times.append(state.retry_at)
        return min(times)

    # -- the outcome

    @property
    def returncode(self) -> int:
        """The exit status of the whole job."""
        failure = self.first_failure
        if self.cause and self.cause.kind not in _FROM_RANKS:
            return self.cause.returncode
        if failure:
            return failure.returncode
        if self.cause:
            return self.cause.returncode
        return 0 if len(self.ends) == self.table.world_size else EXIT_INTERNAL

    @property
    def first_failure(self) -> RankEnd | None:
        """The rank that failed first by its own host's clock, counted from its go; not one that we stopped.

        When a rank dies its neighbours fail too, and over a slow link their news may come first. But the go did not reach
        all hosts at the same moment either: of what is as good as simultaneous, what came first is the first.
        """
        return first_of(end for end in self.ends.values() if end.failed and not end.stopped)

    @property
    def problems(self) -> dict[str, list[str]]:
        """What keeps hosts from being ready, by host; empty when all were."""
        return {host: state.problems for host, state in self.hosts.items() if state.problems}

    # -- inside

    def _on_failed(self, now: float) -> None:
        """A rank has failed: the job ends because of the first, which the latest news may be about."""
        first = self.first_failure
        if first is None:
            return
        cause = Cause("rank_failed", first.returncode, describe_end(first))
        self._stop(cause, now)
        if self.cause and self.cause.kind in _FROM_RANKS:
            self.cause = cause

    def _maybe_go(self, now: float) -> None:
        if self.phase != OPENING or any(state.state not in SETTLED for state in self.hosts.values()):
            return
        facts = {host: state.facts for host, state in self.hosts.items()}
        if not self._refused():
            settled = self.settle(facts)
            for host, problems in settled.problems.items():
                self.hosts[host].state, self.hosts[host].problems = H_REFUSED, problems
                self._report("host_refused", host, problems=problems)
        if refused := self._refused():
            text = f"{len(refused)} of {len(self.hosts)} hosts not ready: {', '.join(refused)}; no rank was started anywhere"
            self.cause = Cause("not_ready", EXIT_NOT_READY, text)
            self._abandon()
            return
        for text in differences(facts, self._declared):
            self._report("warning", text=text)
        self.phase, self._started_at = RUNNING, now
        for host, state in self.hosts.items():
            state.state, state.heard = H_RUNNING, now
            self._tell(host, wire.GO, settled.go.get(host))

    def _refused(self) -> list[str]:
        return [host for host, state in self.hosts.items() if state.state == H_REFUSED]

    def _abandon(self) -> None:
        """Nothing has started: let go of everyone."""
        self.phase = FINISHED
        for host, state in self.hosts.items():
            if state.state == H_OPENING:
                self._actions.append(Close(host))
            else:
                self._tell(host, wire.BYE)

    def _stop(self, cause: Cause, now: float) -> None:
        if self.phase != RUNNING:
            return
        self.phase, self.cause = STOPPING, cause
        self._next_word = now + PATIENCE
        self._report("job_stopping", cause=cause.kind, text=cause.message)
        for host, state in self.hosts.items():
            if state.state == H_RUNNING:
                self._tell(host, wire.KILL if self._killing else wire.STOP, {"grace": self.limits.grace})
                state.deadline = now + self.limits.grace + CONFIRM

    def _lost(self, host: str, reason: str, now: float) -> None:
        state = self.hosts[host]
        # The old supervisor needs its grace to end the ranks before it lets us have what they left.
        state.state, state.deadline = H_RECOVERING, now + self.limits.recover + self.limits.grace
        self._report("host_lost", host, text=reason)
        self._stop(Cause("host_lost", EXIT_NOT_READY, f"{host}: {reason}"), now)
        state.retry_until = now + self.limits.recover
        self._actions += [Close(host), Recover(host)]

    def _try_again(self, host: str, reason: str, now: float) -> None:
        state = self.hosts[host]
        if now + RETRY_AFTER > state.retry_until:
            self._give_up(host, reason)
        else:
            state.retry_at = now + RETRY_AFTER

    def _give_up(self, host: str, reason: str) -> None:
        text = (
            f"out of reach ({reason}); its ranks end by themselves within "
            f"{self.limits.lease + self.limits.grace:g} s, and what they printed stays there until then or is lost with it"
        )
        self.hosts[host].state = H_LOST
        self._report("warning", host, text=text)
        self._actions.append(Close(host))
        self._maybe_finish()

    def _check_host(self, host: str, state: HostState, now: float) -> None:
        silent = now >= state.heard + self.limits.lease
        silence = f"silent for {now - state.heard:.0f} s"
        if state.state == H_OPENING and now >= state.deadline:
            self._actions.append(Close(host))
            self.on_refused(host, [f"no answer within {self.limits.connect:g} s"], now)
        elif state.state == H_RECOVERING and now >= state.deadline:
            self._give_up(host, "no answer")
        elif state.state == H_RECOVERING and state.retry_at is not None and now >= state.retry_at:
            state.retry_at = None
            self._actions.append(Recover(host))
        elif state.state == H_READY and silent:
            self.on_closed(host, f"ready, then {silence}", now)
        elif state.state == H_RUNNING and silent:
            self._lost(host, f"{silence}: network, host or sleep", now)
        elif state.state == H_RUNNING and self.phase == STOPPING and now >= state.deadline:
            self._lost(host, "did not confirm that its ranks have ended", now)

    def _report_waiting(self) -> None:
        if self.phase == OPENING:
            late = [host for host, state in self.hosts.items() if state.state == H_OPENING]
            text = f"waiting for {len(late)} of {len(self.hosts)} hosts to be ready: {', '.join(late)}"
        else:
            late = [host for host, state in self.hosts.items() if state.state in (H_RUNNING, H_RECOVERING)]
            text = f"waiting for the ranks on {', '.join(late)} to end (grace {self.limits.grace:g} s)"
        self._report("waiting", text=text, hosts=late)

    def _overtime(self, now: float) -> bool:
        return bool(self.limits.timeout) and self._started_at is not None and now >= self._started_at + self.limits.timeout

    def _maybe_finish(self) -> None:
        if self.phase in (RUNNING, STOPPING) and all(state.state in OVER for state in self.hosts.values()):
            self.phase = FINISHED

    def _tell(self, host: str, kind: int, message: Any = None) -> None:
        self._actions.append(Tell(host, kind, message))

    def _report(self, event: str, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        self._actions.append(Report(event, host, rank, details))

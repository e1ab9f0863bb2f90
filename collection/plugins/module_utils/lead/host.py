# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a host within a job, as a table of states and events.

opening     its channel is being opened, and it checks whether its ranks can start
ready       it can start its ranks, and waits for the other hosts
refused     it cannot start them, or was not reached
running     it got its go
recovering  its channel broke while it ran; a new one is tried, to fetch the rest and to see that its ranks end
done        it has confirmed that none of its processes is left
lost        it is out of reach, and no longer tried
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Limits
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import WireError

H_OPENING, H_READY, H_REFUSED, H_RUNNING = "opening", "ready", "refused", "running"
H_RECOVERING, H_DONE, H_LOST = "recovering", "done", "lost"

# Events: sent by the host, about its channel, due by the clock (silent for the lease, late with an answer, time to try
# again), decided by the policy.
READY, REFUSED, DONE = "ready", "refused", "done"
CLOSED = "closed"
SILENT, LATE, RETRY = "silent", "late", "retry"
GO = "go"

NEXT = {
    (H_OPENING, READY): H_READY,
    (H_OPENING, REFUSED): H_REFUSED,
    (H_OPENING, DONE): H_REFUSED,  # its supervisor was told to terminate before it had begun
    (H_OPENING, CLOSED): H_REFUSED,
    (H_OPENING, LATE): H_REFUSED,
    (H_READY, REFUSED): H_REFUSED,  # also by the decision on the facts of all hosts
    (H_READY, DONE): H_REFUSED,
    (H_READY, CLOSED): H_REFUSED,
    (H_READY, SILENT): H_REFUSED,
    (H_READY, GO): H_RUNNING,
    (H_RUNNING, DONE): H_DONE,
    (H_RUNNING, CLOSED): H_RECOVERING,
    (H_RUNNING, SILENT): H_RECOVERING,
    (H_RUNNING, LATE): H_RECOVERING,
    (H_RECOVERING, DONE): H_DONE,
    (H_RECOVERING, CLOSED): H_RECOVERING,
    (H_RECOVERING, RETRY): H_RECOVERING,
    (H_RECOVERING, LATE): H_LOST,
}

# Events that change nothing; any other that is not in NEXT is an error.
IGNORED = frozenset(
    {
        (H_READY, READY),
        # Its supervisor may have been about to answer when this side gave it up.
        (H_REFUSED, READY),
        (H_REFUSED, REFUSED),
        (H_REFUSED, DONE),
        (H_REFUSED, CLOSED),
        (H_RUNNING, REFUSED),
        (H_RECOVERING, REFUSED),  # the earlier supervisor is still at work: the channel closes and is tried again
        (H_DONE, CLOSED),
        (H_LOST, CLOSED),
    }
)

_ANSWERED = (H_READY, H_REFUSED)
_OVER = (H_REFUSED, H_DONE, H_LOST)
_LEASED = (H_READY, H_RUNNING)

# Seconds beyond grace: the supervisor's own patience after KILL (Ender.GIVE_UP), and the way there and back.
CONFIRM = 15.0

# Seconds between two tries to reach a host again.
RETRY_AFTER = 1.0


class UnexpectedEvent(WireError):
    """An event that does not fit the state of a host."""


class HostMachine:
    """The state of one host.

    Args:
        name: of the host, for errors.
        limits: the time limits of the job.
        now: monotonic seconds, as for every method that takes them.

    Attributes:
        state: one of the states above.
        facts: reported by the host when it was ready.
        written: a file that the job has written into its project there, "" for none.
        problems: the reasons for which it is not ready.
        heard: when something last came from it.
    """

    def __init__(self, name: str, limits: Limits, now: float) -> None:
        self.name = name
        self.state = H_OPENING
        self.facts: dict[str, Any] = {}
        self.written = ""
        self.problems: list[str] = []
        self.heard = now
        self._limits = limits
        self._answer_by: float | None = now + limits.connect
        self._retry_at: float | None = None
        self._retry_until = 0.0

    @property
    def leased(self) -> bool:
        """Whether something has to come from the host within the lease."""
        return self.state in _LEASED

    def begin(self, now: float) -> None:
        """Count its times from now, when its channel is about to be opened."""
        self.heard = now
        if self.state == H_OPENING:
            self._answer_by = now + self._limits.connect

    def expect_end(self, now: float, grace: float) -> None:
        """Expect the host to confirm, after the grace, that its ranks have ended."""
        self._answer_by = now + grace + CONFIRM

    def postpone(self, seconds: float) -> None:
        """Give the host so much more time: nothing was read from it meanwhile, whatever it had sent."""
        self.heard += seconds
        self._retry_until += seconds
        if self._answer_by is not None:
            self._answer_by += seconds

    def step(self, event: str, now: float, problems: Sequence[str] = ()) -> bool:
        """Go on to the state that follows from an event.

        Args:
            event: one of the events above.
            now: monotonic seconds.
            problems: the reasons for a refusal, or for an event that amounts to one.

        Returns:
            Whether something followed; not when the table ignores the event.

        Raises:
            UnexpectedEvent: the event does not fit the state.
        """
        if (self.state, event) in IGNORED:
            return False
        if (self.state, event) == (H_RECOVERING, CLOSED) and now + RETRY_AFTER > self._retry_until:
            event = LATE  # no try is left
        after = NEXT.get((self.state, event))
        if after is None:
            raise UnexpectedEvent(f"{self.name}: {event!r} does not fit a host that is {self.state!r}")
        if after != self.state:
            self._enter(after, now, problems)
        else:
            self._retry_at = now + RETRY_AFTER if event == CLOSED else None
        return True

    def _enter(self, state: str, now: float, problems: Sequence[str]) -> None:
        self.state, self._answer_by, self._retry_at = state, None, None
        if state == H_REFUSED:
            self.problems = list(problems)
        elif state == H_RUNNING:
            self.heard = now
        elif state == H_RECOVERING:
            # The old supervisor needs its grace to end the ranks before it lets another one have the rest.
            self._answer_by = now + self._limits.recover + self._limits.grace
            self._retry_until = now + self._limits.recover

    def due(self, now: float) -> tuple[str, str] | None:
        """Return the event that is due by the clock and its reason, or None."""
        if self.leased and now >= self.heard + self._limits.lease:
            silence = f"silent for {now - self.heard:.0f} s"
            return SILENT, f"ready, then {silence}" if self.state == H_READY else f"{silence}: network, host or sleep"
        if self._answer_by is not None and now >= self._answer_by:
            return LATE, self._lateness()
        if self._retry_at is not None and now >= self._retry_at:
            return RETRY, ""
        return None

    def _lateness(self) -> str:
        if self.state == H_RUNNING:
            return "did not confirm that its ranks have ended"
        return f"no answer within {self._limits.connect:g} s" if self.state == H_OPENING else "no answer"

    @property
    def deadline(self) -> float:
        """When the next event is due; infinity when none will be."""
        times = [self.heard + self._limits.lease] if self.leased else []
        times += [at for at in (self._answer_by, self._retry_at) if at is not None]
        return min(times, default=float("inf"))

    def out_of_reach(self, reason: str) -> str:
        """Return the text about a host that is lost, for a person."""
        return (
            f"out of reach ({reason}); its ranks end by themselves within "
            f"{self._limits.lease + self._limits.grace:g} s, and what they printed stays there until then or is lost with it"
        )


class Hosts(dict[str, HostMachine]):
    """The hosts of a job, by name.

    Args:
        names: in the order of their first rank.
        limits: the time limits of the job.
        now: monotonic seconds.
    """

    def __init__(self, names: Iterable[str], limits: Limits, now: float) -> None:
        super().__init__({name: HostMachine(name, limits, now) for name in names})

    def begin(self, now: float) -> None:
        """Count all times from now."""
        for host in self.values():
            host.begin(now)

    def postpone(self, seconds: float) -> None:
        """Give every host so much more time."""
        for host in self.values():
            host.postpone(seconds)

    def within(self, *states: str) -> list[str]:
        """Return the names of the hosts that are in one of some states."""
        return [name for name, host in self.items() if host.state in states]

    @property
    def answered(self) -> bool:
        """Whether every host is ready or not, as opposed to still asked."""
        return all(host.state in _ANSWERED for host in self.values())

    @property
    def over(self) -> bool:
        """Whether nothing more is expected of any host."""
        return all(host.state in _OVER for host in self.values())

    @property
    def leased(self) -> list[str]:
        """The hosts that have to be heard of within the lease, and are pinged for that."""
        return [name for name, host in self.items() if host.leased]

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """The facts of every host that was ready."""
        return {name: host.facts for name, host in self.items()}

    @property
    def problems(self) -> dict[str, list[str]]:
        """The reasons for which hosts are not ready; empty when all were."""
        return {name: host.problems for name, host in self.items() if host.problems}

    @property
    def deadline(self) -> float:
        """When the next event of a host is due."""
        return min(host.deadline for host in self.values())

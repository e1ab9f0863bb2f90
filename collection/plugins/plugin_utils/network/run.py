# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: look at all hosts, and if it is wished set their ports up or back, verify and measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..hosts.fleet import Fleet
from ..hosts.progress import Emit
from ..hosts.root import RootFleet, TwoRounds
from .change.result import BY_HAND, FAILED, Work
from .change.setup_round import SetupRound
from .change.spans import ring_addresses, spans_of
from .change.trial import Trial
from .change.verify_rdma import rdma_troubles
from .facts.answers import HostAnswers
from .gather import Probe
from .outcome import Look
from .plan.wishes import ABSENT, Wishes

SECONDS = 1.0  # that a link is measured in one direction

MakeLook = Callable[[Mapping[str, HostAnswers]], Look]


class NetworkRun:
    """A look at the network, and the work that follows from it.

    Args:
        fleet: all hosts, as the user who connects.
        probe: asks them.
        root: makes the fleet of hosts on which to be root, and tells the reasons of those that have none.
        wishes: of the user.
        look: makes the plan of answers.
        pythons: interpreter of the ranks on each host.
        dry_run: change nothing.
    """

    def __init__(
        self, fleet: Fleet, probe: Probe, root: RootFleet, wishes: Wishes, look: MakeLook, pythons: Mapping[str, str], *, dry_run: bool
    ) -> None:
        self._fleet = fleet
        self._probe = probe
        self._rounds = TwoRounds(fleet, root)
        self._wishes = wishes
        self._look = look
        self._pythons = pythons
        self._dry_run = dry_run
        self.begun = False

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._rounds.stop()

    def run(self, emit: Emit) -> tuple[Look, Work]:
        """Return the network as it is afterwards, and the work that was done.

        Raises:
            Cancelled: `stop` was called.
        """
        with self._fleet.open(emit):
            look = self._look(self._probe.ask(emit))
            work = self._change(look, emit)
            if work.changed and not self._dry_run:
                look = self._look(self._probe.ask(emit))
            if self._dry_run or work.refusal or look.plan.failing or self._wishes.state == ABSENT:
                return look, work
            return look, self._prove(look, work, emit)

    def _change(self, look: Look, emit: Emit) -> Work:
        setup = SetupRound(self._fleet, self._become_root, emit, dry_run=self._dry_run)
        if self._wishes.state == ABSENT:
            macs = [name for name, answers in look.answers.items() if answers.system == "Darwin"]
            lost = [f"{name}: {answers.failure}" for name, answers in look.answers.items() if answers.failure]
            keep = {host.name: [host.ssh] for host in look.plan.hosts if host.ssh}
            work = setup.undo(macs, keep)
            ignored = self._wishes.ignore_unreachable
            return (
                replace(work, refusal=f"{lost[0]}; undo it when that host is there") if lost and not ignored and not work.refusal else work
            )
        if self._wishes.apply and not look.plan.failing:
            return setup.set_up(look.plan)
        return Work()

    def _become_root(self, hosts: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        found = self._rounds.become_root(hosts)
        self.begun = True
        return found

    def _prove(self, look: Look, work: Work, emit: Emit) -> Work:
        trial = Trial(self._fleet, self._pythons, emit)
        if work.changes is not None:
            # A host whose commands are to be run by hand has nothing to prove yet.
            unready = {change.host for change in work.changes if change.state in (BY_HAND, FAILED)}
            spans = [span for span in spans_of(look.plan) if not unready & {end.host for end in span.ends}]
            work = replace(work, proofs=tuple(trial.connect(spans)), rdma=tuple(rdma_troubles(self._fleet, look.plan, unready)))
        if self._wishes.measure and not work.problems:
            work = self._measure(look, work, trial)
        return work

    def _measure(self, look: Look, work: Work, trial: Trial) -> Work:
        hosts = [host.name for host in look.plan.hosts]
        jobs = self._fleet.ask("looking for jobs on", lambda agent: agent.call("running")["jobs"], hosts)
        busy = next(((host, found[0]) for host, found in jobs.results.items() if found), None)
        if busy:
            return replace(work, refusal=f"{busy[0]}: job {busy[1]} runs there; nothing was measured")
        begun = time.monotonic()
        measured = tuple(trial.measure(spans_of(look.plan), SECONDS))
        work = replace(work, measured=measured, measured_in=time.monotonic() - begun)
        ring = ring_addresses(look.plan)
        if ring and not work.problems:
            work = replace(work, ring=trial.ring_sum([hosts[at] for at in look.plan.order], ring))
        return work

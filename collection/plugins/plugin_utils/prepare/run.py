# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: look at all hosts, and if it is wanted change those that need it, as root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..hosts.agents import Agent
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit
from ..hosts.root import RootFleet, TwoRounds, without_root
from .items import Value
from .result import BY_HAND, FAILED, RIGHT, UNKNOWN, WOULD, HostState, Outcome
from .work import Work

_AGAIN = "when it is there, run this again, or --undo"


class PrepareRun:
    """A look at hosts, and the change that follows from it.

    Args:
        fleet: all hosts, as the user who connects.
        root: makes the fleet of hosts on which to be root, and gives the reasons of those that have none.
        wishes: by host, the items that are on there, with their values.
        pythons: interpreter of the ranks on each host.
        work: what to do.

    Attributes:
        begun: whether a host may have been changed.
    """

    def __init__(
        self, fleet: Fleet, root: RootFleet, wishes: Mapping[str, Mapping[str, Value]], pythons: Mapping[str, str], work: Work
    ) -> None:
        self._fleet = fleet
        self._rounds = TwoRounds(fleet, root)
        self._wishes = wishes
        self._pythons = pythons
        self._work = work
        self.begun = False

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._rounds.stop()

    def run(self, emit: Emit) -> Outcome:
        """Return all hosts as they are afterwards.

        Nothing is changed anywhere when one of them cannot have what is wanted, such as a limit above its memory. A
        host that cannot be asked keeps no other one from being prepared.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            Cancelled: `stop` was called.
        """
        with self._fleet.open(emit):
            answers = self._fleet.ask("looking at", lambda agent: self._ask(agent, trial=True))
        found = {
            host: HostState.of(host, answers.results[host]) if host in answers.results else HostState(host, failure=answers.failed[host])
            for host in self._fleet.access
        }
        refused = self._work.apply and any(host.having(FAILED) for host in found.values())
        # What is recorded and is back already needs root too: its record has to go, or a later undo would go back to it.
        needing = (WOULD, BY_HAND, RIGHT) if self._work.undo else (WOULD, BY_HAND)
        changing = [name for name, host in found.items() if host.having(*needing)]
        if changing and self._work.writes and not refused:
            found |= self._change({name: found[name] for name in changing}, emit)
        return Outcome(self._work, tuple(found.values()), refused)

    def _ask(self, agent: Agent, *, trial: bool) -> Any:
        if self._work.undo:
            return agent.call("undo_prepare", trial=trial)
        return agent.call("prepare", wishes=dict(self._wishes[agent.host]), trial=trial, python=self._pythons.get(agent.host, ""))

    def _change(self, looked: Mapping[str, HostState], emit: Emit) -> dict[str, HostState]:
        fleet, reasons = self._rounds.become_root(list(looked))
        able = [host for host in looked if host not in reasons]
        found = {host: _by_hand(looked[host], reason) for host, reason in reasons.items()}
        with fleet.open(emit):
            reasons = without_root(fleet, able)
            found |= {host: _by_hand(looked[host], reason) for host, reason in reasons.items()}
            return found | self._set(fleet, {host: looked[host] for host in able if host not in reasons})

    def _set(self, fleet: Fleet, looked: Mapping[str, HostState]) -> dict[str, HostState]:
        self.begun = self.begun or bool(looked)
        hosts: Sequence[str] = list(looked)
        answers = fleet.ask("preparing", lambda agent: self._ask(agent, trial=False), hosts)
        lost = {host: looked[host].unfinished(UNKNOWN, f"{reason}; {_AGAIN}") for host, reason in answers.failed.items()}
        return {host: HostState.of(host, answer) for host, answer in answers.results.items()} | lost


def _by_hand(looked: HostState, reason: str) -> HostState:
    return looked.unfinished(BY_HAND, f"{reason}; or run its commands there by hand")

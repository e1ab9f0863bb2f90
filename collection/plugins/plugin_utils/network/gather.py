# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw answers of all hosts, each asked once and all at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..hosts.access import Access
from ..hosts.agents import Agent
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit, ProgressThrottle
from ..job.errors import UsageError
from ..job.settings import JobSettings
from .facts.answers import HostAnswers, answers_from

_REPORT_EVERY = 5.0  # seconds between reports about hosts that are not done


class Probe:
    """One look at all hosts.

    Args:
        settings: how long to wait for a host.
        access: how each is reached.
        fleet: the hosts, by default those of `access`.
    """

    def __init__(self, settings: JobSettings, access: Mapping[str, Access], fleet: Fleet | None = None) -> None:
        self._lease = settings.lease
        self._fleet = fleet or Fleet(access, settings)

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._fleet.stop()

    def run(self, emit: Emit) -> dict[str, HostAnswers]:
        """Return the answers by host, in order; a host that could not be asked has the reason.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            Cancelled: `stop` was called.
        """
        with self._fleet.open(emit):
            return self.ask(emit)

    def ask(self, emit: Emit) -> dict[str, HostAnswers]:
        """Return the answers as `run`, over a fleet that is open."""
        answers = self._fleet.ask(_text, self._ask, throttle=ProgressThrottle(emit, every=_REPORT_EVERY))
        return {host: _checked(host, answers.results.get(host), answers.failed.get(host, "")) for host in self._fleet.access}

    def _ask(self, agent: Agent) -> Any:
        return agent.call("network", lease=self._lease)


def _text(pending: Sequence[str], _news: Mapping[str, str]) -> str:
    return f"looking at the network of {', '.join(pending)}"


def _checked(host: str, data: Any, failure: str) -> HostAnswers:
    if failure:
        return HostAnswers(failure=failure)
    try:
        return answers_from(data, host)
    except UsageError as exc:  # a host that answers nonsense is one that cannot be asked
        return HostAnswers(failure=f"its answer does not fit: {exc}")

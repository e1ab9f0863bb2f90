# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a plan that waits for the facts of all hosts: their addresses, and a range of ports. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ...module_utils.lead.collaborators import Decision
from ...module_utils.shared.spec import HostSpec
from ..job.errors import UsageError
from ..job.settings import BY_NAME
from .port_range import PortRange


class Specified(Protocol):
    """A plan of a job: a specification for each host."""

    @property
    def specs(self) -> Mapping[str, HostSpec]:
        """The specifications, by host."""


Plan = TypeVar("Plan", bound=Specified)

_ADVICE = "each needs an address of its own: set mlx_ips"


@dataclass(frozen=True)
class Late(Generic[Plan]):
    """The decisions that only the hosts' facts allow.

    Attributes:
        asked: by host that tells its address itself, the one that stands for it in the plan.
        ports: the ranges that hosts were asked for, None when the user has chosen.
        replan: returns the plan for a distance from the first range, and addresses by host.
    """

    asked: Mapping[str, str]
    ports: PortRange | None
    replan: Callable[[int, Mapping[str, str]], Plan]

    def decide(self, specs: Mapping[str, HostSpec], facts: Mapping[str, Mapping[str, Any]], chosen: Callable[[Plan], None]) -> Decision:
        """Return the go of each host, with what was decided; or the reasons against it, by host.

        Args:
            specs: as the hosts have them.
            facts: of each host: `shifts` that it has, and its `address`.
            chosen: called with the plan that it comes to, when it is not the one the hosts know.
        """
        shift = self.ports.shift(facts) if self.ports else None
        if self.ports and shift is None:
            tried = len(self.ports.bases)
            first = BY_NAME["starting_port"].shown
            text = f"no range of ports is free on every host among {tried} that were tried; try again, or give a {first}"
            return Decision({host: [text] for host in facts})
        addresses = {host: facts[host]["address"] for host in self.asked}
        if not shift and addresses == self.asked:
            return Decision()
        problems = _shared(addresses)
        if problems:
            return Decision(problems)
        try:
            plan = self.replan(shift or 0, addresses)
        except UsageError as exc:  # one of these is another host's mlx_ips, or nobody else can reach it
            return Decision({host: [str(exc)] for host in addresses})
        chosen(plan)
        return Decision(go={host: {"shift": shift or 0, **_changed(specs[host], spec)} for host, spec in plan.specs.items()})

    def note(self, facts: Mapping[str, Mapping[str, Any]]) -> str:
        """Return a line on addresses that hosts have told, where there were others to choose from; or ""."""
        rows = {host: facts[host] for host in self.asked if facts[host]["others"]}
        found = [f"{host} {row['address']} (and not {', '.join(row['others'])})" for host, row in rows.items()]
        return f"data goes by the address by which each host was reached: {'; '.join(found)}; set mlx_ips for another" if found else ""


def _shared(addresses: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the problems of hosts that tell the same address."""
    found = {}
    for host, address in addresses.items():
        others = [other for other, same in addresses.items() if same == address and other != host]
        if others:
            found[host] = [f"was reached by {address}, as {', '.join(others)} was; {_ADVICE}"]
    return found


def _changed(before: HostSpec, after: HostSpec) -> dict[str, Any]:
    """Return the part of a specification that the decision has changed, and so comes with the go."""
    known = {rank.rank: rank.env for rank in before.ranks}
    return {
        "files": after.files,
        # What the plan has got since, of a terminal, stays.
        "env": {str(rank.rank): {k: v for k, v in rank.env.items() if known[rank.rank].get(k, v) != v} for rank in after.ranks},
    }

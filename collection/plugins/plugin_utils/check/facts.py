# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that a check gathers about hosts, and the connections that it tries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...module_utils.lead.rank_table import Rank, RankTable
from ..network.facts.answers import HostAnswers
from ..network.facts.host import HostNetwork, host_network


@dataclass(frozen=True)
class Link:
    """One connection from a host to the address where a rank of a neighbour listens.

    Attributes:
        to: the neighbour.
        address: "ip:port" there.
        source: own address to connect from, or empty.
        tried: whether it was; not when the neighbour could not listen.
        problem: why there is no connection, or empty.
        errno: its name, or empty.
    """

    to: str
    address: str
    source: str = ""
    tried: bool = False
    problem: str = ""
    errno: str = ""


@dataclass(frozen=True)
class HostFacts:
    """The facts about one host.

    Attributes:
        host: inventory name.
        ranks: its ranks.
        local: whether it is this machine, without ssh.
        failure: why it could not be asked, or empty.
        environment_failure: why its environment is not known, or empty.
        found: the answer of its agent, see module_utils/check/gather.py; empty when it could not be asked.
        project: digest of the project it is to have, or empty.
        offset: seconds its clock is ahead of the controller's, None when not known.
        uncertainty: seconds that the offset can be wrong by.
        links: to its neighbours in the ring.
        ips: addresses of its ranks.
        rdma: names of the RDMA devices that its ranks use.
    """

    host: str
    ranks: tuple[int, ...] = ()
    local: bool = False
    failure: str = ""
    environment_failure: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    project: str = ""
    offset: float | None = None
    uncertainty: float = 0.0
    links: Sequence[Link] = ()
    ips: Sequence[str] = ()
    rdma: Sequence[str] = ()

    @property
    def reports(self) -> Mapping[str, str]:
        """The answers of a Mac's own programs by name; none of another machine."""
        told: Mapping[str, str] = (self.found.get("reports") or {}).get("answers", {})
        return told

    @property
    def failed(self) -> Mapping[str, str]:
        """The reasons for which programs gave no answer, by name."""
        told: Mapping[str, str] = (self.found.get("reports") or {}).get("failed", {})
        return told

    @cached_property
    def network(self) -> HostNetwork:
        """The network of a Mac, as far as its answers tell."""
        return host_network(self.host, HostAnswers("Darwin", self.reports, self.failed))


def links_of(host: str, table: RankTable) -> list[Link]:
    """Return the connections that a host's ranks and their neighbours in the ring need, as seen from that host.

    In a ring a rank connects to the address of the next one. Here each tries both sides, to find a path that is open in
    one direction only, whichever way the ring runs. Ranks on one host reach each other by themselves.
    """
    found: dict[str, Link] = {}
    for rank in table.of_host(host):
        for other in _neighbours(rank, table):
            if other.host != host and other.listen:
                per_ip = len(other.listen) // len(other.ips)
                for at, address in enumerate(other.listen):
                    found.setdefault(address, Link(other.host, address, _source(rank, other, at // per_ip)))
    return list(found.values())


def _neighbours(rank: Rank, table: RankTable) -> Iterable[Rank]:
    size = table.world_size
    return (table.ranks[(rank.rank + 1) % size], table.ranks[(rank.rank - 1) % size])


def _source(rank: Rank, other: Rank, link: int) -> str:
    """Return the address to connect from: the one at the same place as the other's, where both have as many."""
    return rank.ips[link] if len(rank.ips) == len(other.ips) else ""

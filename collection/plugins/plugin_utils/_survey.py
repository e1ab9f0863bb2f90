# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what a check finds out, and what is asked of whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._ranktable import Rank, RankTable


@dataclass
class Link:
    """One connection from a host to where a rank of a neighbour listens.

    Attributes:
        to: the neighbour.
        address: "ip:port" there.
        source: own address to connect from, or empty.
        tried: whether it was; not when the neighbour could not listen.
        problem: why it did not come about, or empty.
        errno: the number of that on the host, or 0.
    """

    to: str
    address: str
    source: str = ""
    tried: bool = False
    problem: str = ""
    errno: int = 0


@dataclass
class Survey:
    """What is known of one host.

    Attributes:
        host: inventory name.
        ranks: its ranks.
        local: whether it is this machine, without ssh.
        failure: why it could not be asked, or empty.
        environment_failure: why its environment cannot be told, or empty.
        found: what its `survey` returned, see module_utils/_survey.py; empty when it could not be asked.
        project: digest of the project it is to have, or empty.
        offset: seconds its clock is ahead of the controller's, None when not known.
        uncertainty: seconds that the offset can be wrong by.
        links: to its neighbours in the ring.
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
    links: list[Link] = field(default_factory=list)


def links_of(host: str, table: RankTable) -> list[Link]:
    """Return the connections that a host's ranks and their neighbours in the ring need, as seen from that host.

    In a ring a rank connects to where the next one listens. Here each tries both sides, so that a way that is open in
    one direction only is found whichever way the ring runs. Ranks on one host reach each other by themselves.
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

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the one rank table inside, however the hosts came. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ._errors import UsageError

# Whose addresses a backend uses, and so has to know.
ALL, FIRST, NONE = "all", "first", "none"


class Place(NamedTuple):
    """Where a rank will be: its host, the addresses it listens on, and its RDMA devices to each rank."""

    host: str
    ips: tuple[str, ...]
    rdma: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Rank:
    """One process of the job.

    Attributes:
        rank: 0 to world size - 1.
        host: the inventory name of the machine it runs on.
        local_rank: its number among the ranks of that host, from 0.
        local_size: how many ranks that host has.
        ips: the IPv4 addresses it listens on.
        listen: ("ip:port", ...), one per ip and connection.
    """

    rank: int
    host: str
    local_rank: int
    local_size: int
    ips: tuple[str, ...]
    listen: tuple[str, ...]


@dataclass(frozen=True)
class RankTable:
    """All ranks of a job, in order; `next_port` is a port that no rank listens on."""

    ranks: tuple[Rank, ...]
    next_port: int

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return len(self.ranks)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The machines, each once, in the order of their first rank."""
        return tuple(dict.fromkeys(rank.host for rank in self.ranks))

    @property
    def master(self) -> str:
        """Address of rank 0, or its host's name when nobody has asked for an address."""
        first = self.ranks[0]
        return first.ips[0] if first.ips else first.host

    def of_host(self, host: str) -> tuple[Rank, ...]:
        """Return the ranks that run on `host`."""
        return tuple(rank for rank in self.ranks if rank.host == host)

    def ring_hostfile(self) -> str:
        """Return what `MLX_HOSTFILE` points to: a list of "ip:port" lists, one per rank.

        Source: launch_ring in mlx/_distributed_utils/launch.py, 0.32.4.
        """
        return json.dumps([list(rank.listen) for rank in self.ranks])


def build_rank_table(
    places: Sequence[tuple[str, tuple[str, ...]]],
    starting_port: int = 32323,
    connections_per_ip: int = 1,
    listeners: str = ALL,
    taken: int = 0,
) -> RankTable:
    """Return the rank table for (host, addresses) pairs in rank order.

    Ports count up from `starting_port` over all ranks, addresses and connections, as in mlx.launch.

    Args:
        places: (host, addresses) per rank.
        starting_port: the first port, or where only one rank listens the only one.
        connections_per_ip: ports per address.
        listeners: ALL ranks listen, as in a ring, only the FIRST, or NONE.
        taken: a port that is used otherwise.

    Raises:
        UsageError: no ranks, a port beyond 65535, one address claimed by two hosts.
    """
    if not places:
        raise UsageError("no hosts to launch on")
    _refuse_shared_addresses(places)
    _refuse_lone_loopback(places, listeners)
    sizes = Counter(host for host, _ips in places)
    seen: Counter[str] = Counter()
    port = starting_port
    ranks = []
    for number, (host, ips) in enumerate(places):
        listen: list[str] = []
        for ip in ips if listeners == ALL else ():
            listen += [f"{ip}:{port + at}" for at in range(connections_per_ip)]
            port += connections_per_ip
        ranks.append(Rank(number, host, seen[host], sizes[host], ips, tuple(listen)))
        seen[host] += 1
    if port - 1 > 65535:
        raise UsageError(f"ports {starting_port} to {port - 1} are needed, and 65535 is the last; lower --starting-port")
    free = (port + at for at in range(0 if listeners == ALL else 1, 3))
    return RankTable(tuple(ranks), next((port for port in free if port <= 65535 and port != taken), starting_port - 1))


def _refuse_lone_loopback(places: Sequence[tuple[str, tuple[str, ...]]], listeners: str) -> None:
    """A host that listens on 127.x.x.x among others that do not would wait for neighbours that talk to themselves."""
    loopback = {host for host, ips in places if any(ip.startswith("127.") for ip in ips)}
    others = {host for host, ips in places} - loopback
    lonely = {ALL: loopback, FIRST: loopback & {places[0][0]}, NONE: set[str]()}[listeners]
    if lonely and others:
        raise UsageError(f"{min(lonely)} would listen on 127.0.0.1, where {min(others)} cannot reach it; set mlx_ips for it")


def _refuse_shared_addresses(places: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    owner: dict[str, str] = {}
    for host, ips in places:
        for ip in ips:
            if owner.setdefault(ip, host) != host:
                raise UsageError(f"{owner[ip]} and {host} both claim {ip}; each host needs addresses of its own")

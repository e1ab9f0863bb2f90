# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rank table of a job, built from the places of its ranks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...module_utils.lead.rank_table import Rank, RankTable
from .errors import UsageError
from .settings import BY_NAME

# The ranks whose addresses a backend uses, and so has to know.
ALL, FIRST, NONE = "all", "first", "none"


class RankPlace(NamedTuple):
    """The place of a rank: its host, the addresses it listens on, and its RDMA devices to each rank.

    With `asked` the host knows better by which address it is reached, and the one here only stands for that.
    """

    host: str
    ips: tuple[str, ...]
    rdma: tuple[Any, ...] = ()
    asked: bool = False


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
        taken: a port that has another use.

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
        raise UsageError(f"ports {starting_port} to {port - 1} are needed, and 65535 is the last; lower {BY_NAME['starting_port'].shown}")
    free = (port + at for at in range(0 if listeners == ALL else 1, 3))
    return RankTable(tuple(ranks), next((port for port in free if port <= 65535 and port != taken), starting_port - 1))


def _refuse_lone_loopback(places: Sequence[tuple[str, tuple[str, ...]]], listeners: str) -> None:
    """Refuse a host on 127.x.x.x among others that are not: its neighbours would connect to themselves."""
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
                raise UsageError(f"{owner[ip]} and {host} both claim {ip}; each host needs addresses of its own: set mlx_ips")

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranks of a job: their numbers, their hosts, and the addresses they listen on."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """One process of the job.

    Attributes:
        rank: 0 to world size - 1.
        host: the inventory name of its machine.
        local_rank: its number among the ranks of that host, from 0.
        local_size: the number of ranks on that host.
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
        """The number of ranks."""
        return len(self.ranks)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The machines, each once, in the order of their first rank."""
        return tuple(dict.fromkeys(rank.host for rank in self.ranks))

    @property
    def master(self) -> str:
        """The address of rank 0, or the name of its host when the backend needs no address."""
        first = self.ranks[0]
        return first.ips[0] if first.ips else first.host

    def of_host(self, host: str) -> tuple[Rank, ...]:
        """Return the ranks that run on `host`."""
        return tuple(rank for rank in self.ranks if rank.host == host)

    def ring_hostfile(self) -> str:
        """Return the text of the file `MLX_HOSTFILE`: a list of "ip:port" lists, one per rank.

        Source: launch_ring in mlx/_distributed_utils/launch.py, 0.32.4.
        """
        return json.dumps([list(rank.listen) for rank in self.ranks])

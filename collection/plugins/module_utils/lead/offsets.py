# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The offsets up to which the ranks' output has come, and their standard input may go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

# Bytes of a stream between two acknowledgements. Each waits for the disk of the record.
ACK_EVERY = 4 * 1024 * 1024
STREAMS = ("stdout", "stderr")


class Received:
    """The received part of every stream of some ranks, in bytes from its beginning.

    Args:
        ranks: their numbers.
    """

    def __init__(self, ranks: Iterable[int]) -> None:
        self._ends = {rank: dict.fromkeys(STREAMS, 0) for rank in ranks}

    def end(self, rank: int, stream: str) -> int:
        """Return the offset up to which a stream was received."""
        return self._ends[rank][stream]

    def add(self, rank: int, stream: str, end: int) -> None:
        """Record a stream's end."""
        self._ends[rank][stream] = end

    def have(self, ranks: Iterable[int]) -> dict[int, dict[str, int]]:
        """Return the offsets of some ranks by stream: a recovery fetches the rest."""
        return {rank: dict(self._ends[rank]) for rank in ranks}

    def phrase(self, ranks: Iterable[int]) -> str:
        """Return the offsets of some ranks for a person: "rank 0: stdout 5, stderr 0; rank 1: ..."."""
        found = {rank: ", ".join(f"{stream} {end}" for stream, end in ends.items()) for rank, ends in self.have(ranks).items()}
        return "; ".join(f"rank {rank}: {ends}" for rank, ends in found.items())


class Windows:
    """The windows of some ranks' standard input, in bytes from its beginning.

    A host says how much a rank takes. It is not trusted: no honest one takes more than a window beyond what it was
    sent, or takes back what it has granted.

    Args:
        host_of: the host of each rank.
    """

    def __init__(self, host_of: Mapping[int, str]) -> None:
        self._host_of = host_of
        self._sent = dict.fromkeys(host_of, 0)
        self._granted = dict.fromkeys(host_of, 0)

    def grant(self, rank: int, upto: int) -> int | None:
        """Record the credit of a rank; return the offset up to which bytes may be sent, None when it has not risen."""
        granted = upto if upto == wire.UNLIMITED else min(upto, self._sent[rank] + wire.WINDOW)
        if granted <= self._granted[rank]:
            return None
        self._granted[rank] = granted
        return granted

    def send(self, rank: int, size: int) -> list[str]:
        """Record bytes for a rank, or for every rank; return the hosts to send them to.

        Those are left out where nobody reads them: they would wait for the channel, and without a limit.
        """
        hosts = {}
        for each in self._host_of if rank == wire.EVERY_RANK else {rank} & self._host_of.keys():
            self._sent[each] += size
            if not size or self._granted[each] != wire.UNLIMITED:
                hosts[self._host_of[each]] = None
        return list(hosts)

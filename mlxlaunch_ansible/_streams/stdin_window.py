# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard input of a job's ranks, with flow control by credit from their hosts. Threads wait here for room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .._core import UsageError, wire

_CHUNK = 64 * 1024


class StdinSender:
    """Send standard input to ranks, to each at most as many bytes as its host has room for.

    Args:
        send: sends a frame to the job's worker.

    Attributes:
        tty_rank: the rank that has a terminal, once that is known.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.tty_rank: int | None = None
        self._send = send
        self._changed = threading.Condition()
        self._ranks: tuple[int, ...] | None = None
        self._credit: dict[int, int] = {}  # offsets up to which hosts take bytes
        self._sent: dict[int, int] = {}
        self._closed: set[int] = set()
        self._close_all = False
        self._over = False

    # -- from the worker

    def on_readers(self, ranks: Sequence[int], tty: bool) -> None:
        """Begin: these ranks have a standard input."""
        with self._changed:
            self._ranks = tuple(ranks)
            self._sent = dict.fromkeys(ranks, 0)
            self.tty_rank = ranks[0] if tty and ranks else None
            if self._close_all:
                self._closed |= set(ranks)
            self._changed.notify_all()

    def on_credit(self, rank: int, upto: int) -> None:
        """Let a rank be sent bytes up to this offset. The first credit of a rank means that it has started."""
        with self._changed:
            closed_before = rank not in self._credit and rank in self._closed
            self._credit[rank] = upto
            self._changed.notify_all()
        if closed_before:
            self._send(wire.encode(wire.STDIN_END, b"", rank))

    def on_end(self) -> None:
        """End every wait: the job is over."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    # -- from the program

    def write(self, data: bytes, rank: int | None) -> bool:
        """Send bytes, waiting for room; return whether a rank may read them. See `Job.write`."""
        if isinstance(data, str):
            raise TypeError("write: want bytes, not text; encode it first")
        view = memoryview(data).cast("B")
        while view:
            with self._changed:
                room = self._wait_for_room(rank)
                if not room:
                    return False
                piece, view = view[: min(room, _CHUNK)], view[min(room, _CHUNK) :]
                for target in self._targets(rank):
                    self._sent[target] += len(piece)
                to = self._addresses(rank)
            for address in to:
                self._send(wire.encode(wire.STDIN, bytes(piece), address))
        return True

    def room(self) -> int:
        """Wait until all ranks have room; return the number of bytes, 0 when no rank reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ranks is not None or self._over)
            return self._wait_for_room(None) if self._ranks else 0

    def must_wait(self, size: int, rank: int | None) -> bool:
        """Return whether there is less room than `size` bytes now."""
        with self._changed:
            return self._ranks is None or self._room_now(rank) < size

    def close(self, rank: int | None) -> None:
        """Send the end of standard input; a rank that has not started gets it then."""
        with self._changed:
            if self._ranks is None and rank is None:
                self._close_all = True
                return
            self._changed.wait_for(lambda: self._ranks is not None or self._over)
            targets = [target for target in self._known(rank) if target not in self._closed]
            self._closed |= set(targets)
            started = [target for target in targets if target in self._credit]
            self._changed.notify_all()
        for target in started:
            self._send(wire.encode(wire.STDIN_END, b"", target))

    # -- inside, with the lock

    def _wait_for_room(self, rank: int | None) -> int:
        self._changed.wait_for(lambda: self._over or (self._ranks is not None and (not self._targets(rank) or self._room_now(rank))))
        return 0 if self._over or not self._targets(rank) else self._room_now(rank)

    def _room_now(self, rank: int | None) -> int:
        return min((self._credit.get(target, 0) - self._sent[target] for target in self._targets(rank)), default=0)

    def _targets(self, rank: int | None) -> list[int]:
        """Return the ranks meant that still read."""
        return [target for target in self._known(rank) if target not in self._closed and self._credit.get(target) != wire.UNLIMITED]

    def _known(self, rank: int | None) -> Sequence[int]:
        ranks = self._ranks or ()
        if rank is None:
            if self._ranks is not None and not ranks and not self._over:
                raise UsageError("no rank of this job has a standard input; start it with stdin='all', or with the number of a rank")
            return ranks
        if self._ranks is not None and rank not in ranks:
            raise UsageError(f"rank {rank} has no standard input in this job; " + (f"who has: {_list(ranks)}" if ranks else "no rank has"))
        return [rank]

    def _addresses(self, rank: int | None) -> list[int]:
        """Return the frames' ranks: EVERY_RANK when that reaches no rank with a closed standard input."""
        targets = self._targets(rank)
        return [wire.EVERY_RANK] if len(targets) > 1 and not self._closed else targets


def _list(ranks: Sequence[int]) -> str:
    return f"{ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else str(ranks[0])

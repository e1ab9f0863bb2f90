# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events between the thread that reads them and the one that iterates over them."""

from __future__ import annotations

import threading
from collections import deque

from .._result import Event

LIMIT = 4 * 1024 * 1024
_OVERHEAD = 200  # bytes that an event counts for beside its data


class EventBuffer:
    """A queue of events, bounded in bytes. A full one holds up the producer, or drops events that no consumer wants.

    Args:
        limit: bytes above which it is full.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._size = 0
        self._may_drop = False
        self._iterated = False
        self._closed = False

    def put(self, event: Event) -> None:
        """Append an event, waiting for room."""
        with self._changed:
            while self._size > self._limit and not self._drop():
                self._changed.wait()
            self._events.append(event)
            self._size += len(event.data) + _OVERHEAD
            self._changed.notify_all()

    def get(self, timeout: float | None) -> Event | None:
        """Return the next event, waiting up to `timeout` seconds (None: for ever); None after the last one.

        Raises:
            TimeoutError: none came in time.
        """
        with self._changed:
            self._iterated = True
            if not self._changed.wait_for(lambda: self._events or self._closed, timeout):
                raise TimeoutError("no event within the time")
            if not self._events:
                return None
            event = self._events.popleft()
            self._size -= len(event.data) + _OVERHEAD
            self._changed.notify_all()
            return event

    def allow_drop(self) -> None:
        """Let a full buffer drop its events from now on, unless a consumer has taken one.

        A handler has them, or the result is all that is wanted.
        """
        with self._changed:
            self._may_drop = True
            self._changed.notify_all()

    def close(self) -> None:
        """Mark the end: no event will follow."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop(self) -> bool:
        """Drop all events, if that is allowed; return whether it is."""
        if not self._may_drop or self._iterated:
            return False
        self._events.clear()
        self._size = 0
        return True

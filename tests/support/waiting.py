"""Waiting for a condition: the only way tests wait for something that has no descriptor to read."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds. Generous: a busy machine takes many times as long, and only a test that fails waits that long.
PATIENCE = 120.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until the condition holds; fail the test, naming the condition, when the time is up.

    Args:
        condition: called again and again.
        what: the condition in words, for the failure.
        seconds: how long to wait at most.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true within {seconds:g} s: {what}")
        time.sleep(0.01)

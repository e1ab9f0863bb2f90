# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What signals do to a command that waits for a job."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from ._core import signal_name
from ._job import Job

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_end(job: Job, stopping: Callable[[], bool] = lambda: False, resized: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Make a signal end the job with grace; Ctrl-C while it is being ended kills it.

    Args:
        job: the job.
        stopping: whether it is being ended already, for another reason.
        resized: called when the terminal has another size.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)

    def obey() -> None:
        """Act on signals, a byte each. In a thread: the main one waits in a lock, which a signal need not interrupt."""
        asked = False
        while numbers := os.read(read, 64):
            for number in numbers:
                if number == signal.SIGWINCH:
                    resized()
                    continue
                act = job.kill if (asked or stopping()) and number == signal.SIGINT else job.terminate
                asked = True
                act(128 + number, f"interrupted by {signal_name(number)}")

    threading.Thread(target=obey, name="mlxlaunch-signals", daemon=True).start()
    before = {number: signal.signal(number, lambda *_args: None) for number in (*_SIGNALS, signal.SIGWINCH)}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write)

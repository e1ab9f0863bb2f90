# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals end the job that a command waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from ..._core import signal_name
from ..._job import Running

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_end(job: Running, stopping: Callable[[], bool] = lambda: False, resized: Callable[[], None] = lambda: None) -> Iterator[None]:
    """End the job with grace on a signal; Ctrl-C while it is being ended kills it.

    A signal that is ignored stays so: under nohup, or in a command that a script started in the background.

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
    heard = [number for number in (*_SIGNALS, signal.SIGWINCH) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_args: None) for number in heard}
    masked = signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)  # a parent may have left them blocked: nothing would end the job
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write)

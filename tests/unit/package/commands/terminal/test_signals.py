"""Signals while a command waits for a job."""

from __future__ import annotations

import os
import queue
import signal
from typing import Any

import pytest

from mlxlaunch_ansible.commands.terminal.signals import signals_end

PATIENCE = 60.0


class Ending:
    """A job of which only the ways to end it are asked for."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Any, ...]] = queue.Queue()

    def terminate(self, *arguments: Any) -> None:
        self.calls.put(("terminate", *arguments))

    def kill(self, *arguments: Any) -> None:
        self.calls.put(("kill", *arguments))

    def resized(self) -> None:
        self.calls.put(("resized",))

    def after(self, number: int) -> tuple[Any, ...]:
        """Return the call that a signal to this process leads to."""
        os.kill(os.getpid(), number)
        return self.calls.get(timeout=PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_ends_with_grace(number: signal.Signals) -> None:
    job: Any = Ending()
    with signals_end(job):
        assert job.after(number) == ("terminate", 128 + number, f"interrupted by {number.name}")


def test_ctrl_c_kills_a_job_that_is_being_ended() -> None:
    job: Any = Ending()
    with signals_end(job):
        assert job.after(signal.SIGTERM)[0] == "terminate"
        assert job.after(signal.SIGTERM)[0] == "terminate"
        assert job.after(signal.SIGINT) == ("kill", 130, "interrupted by SIGINT")


def test_ctrl_c_kills_a_job_that_ends_for_another_reason() -> None:
    job: Any = Ending()
    with signals_end(job, stopping=lambda: True):
        assert job.after(signal.SIGTERM)[0] == "terminate"
        assert job.after(signal.SIGINT)[0] == "kill"


def test_new_size_of_the_terminal_ends_nothing() -> None:
    job: Any = Ending()
    with signals_end(job, resized=job.resized):
        assert job.after(signal.SIGWINCH) == ("resized",)
        assert job.after(signal.SIGINT)[0] == "terminate"


def test_handlers_are_as_before_afterwards() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
    before = [signal.getsignal(number) for number in numbers]
    with signals_end(Ending()):  # type: ignore[arg-type]
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_that_is_ignored_stays_so(number: signal.Signals) -> None:
    job: Any = Ending()
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals_end(job, resized=job.resized):
            os.kill(os.getpid(), number)
            assert job.after(signal.SIGWINCH) == ("resized",)
    finally:
        signal.signal(number, before)


def test_signal_that_is_blocked_ends_the_job_and_is_blocked_again() -> None:
    job: Any = Ending()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with signals_end(job):
            assert job.after(signal.SIGTERM)[0] == "terminate"
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

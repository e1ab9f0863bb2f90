"""Signals are those of the module `signal`, as plain numbers."""

from __future__ import annotations

import signal

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal as lean


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP", "SIGINT", "SIGCHLD", "SIGPIPE", "SIG_DFL", "SIG_IGN", "SIG_SETMASK"])
def test_number_is_that_of_the_enum(name: str) -> None:
    assert type(getattr(lean, name)) is int
    assert getattr(lean, name) == getattr(signal, name)


def test_handler_is_told_as_it_was_set() -> None:
    before = lean.signal(lean.SIGUSR1, lean.SIG_IGN)
    assert lean.getsignal(lean.SIGUSR1) is lean.SIG_IGN
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    lean.signal(lean.SIGUSR1, before)
    assert {int(number) for number in signal.valid_signals()} == set(lean.valid_signals())

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections with hosts that the launching program has begun for this process while Ansible started.

A worker is a process that serves one task. So there is one set of them, as there is one of the descriptors that a
process is started with.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from .kept import SUPERVISOR, Place, keep_commands

_MOMENT = 2.0  # seconds in which the news of an end may be late
_LOST = 255  # the exit status where nobody can tell it any more; ssh's own for a failure


class HandedProcess:
    """A process that the launching program has started; see `connection.Process`.

    Args:
        argv: its command line.
        pid: its process id.
        sent: bytes of the host's program that its standard input was given already.
        fds: its descriptors, see `wire.HANDED_FDS`.
    """

    def __init__(self, argv: Sequence[str], pid: int, sent: int, fds: Sequence[int]) -> None:
        self.argv = tuple(argv)
        self.pid = pid
        self.sent = sent
        for fd in fds:
            os.set_inheritable(fd, False)
        stdin, stdout, stderr, self._status = fds
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb", 0)
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb", 0)
        self.stderr: IO[bytes] | None = os.fdopen(stderr, "rb", 0)
        self.returncode: int | None = None
        self._taken = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Whether it was taken a moment ago: if it has ended, then perhaps before that."""
        return time.monotonic() < self._taken + _MOMENT

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, or raise TimeoutExpired."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.argv, timeout or 0.0)
        return status

    def kill(self) -> None:
        """End it at once. It is not waited for: its parent may be stopped, as by Ctrl-Z."""
        if self.poll() is None:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            self._set(-signal.SIGKILL)

    def discard(self) -> None:
        """End it, and give its descriptors back."""
        self.kill()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe:
                pipe.close()

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                told = os.read(self._status, 16)
                self._set(int(told) if told else _LOST)
        return self.returncode

    def _set(self, status: int) -> None:
        self.returncode = status
        os.close(self._status)


class _Worker:
    """What this process was handed, and where it notes what it has needed."""

    def __init__(self) -> None:
        self.processes: dict[tuple[str, ...], HandedProcess] = {}
        self.place: Place | None = None
        self.noted = False


_worker = _Worker()


def receive(place: Place | None, handed: Iterable[tuple[Mapping[str, Any], Sequence[int]]]) -> None:
    """Take what the launching program has begun.

    Args:
        place: where the next run will look for command lines; None for nowhere.
        handed: for each process argv, pid and sent, as `HandedProcess` has them, and its descriptors.
    """
    drop()
    _worker.place, _worker.noted = place, False
    for told, fds in handed:
        process = HandedProcess(told["argv"], told["pid"], told["sent"], fds)
        _worker.processes[process.argv] = process


def take(argv: Sequence[str]) -> HandedProcess | None:
    """Return a process with this command line that has not ended, None when there is none. It is the caller's then."""
    process = _worker.processes.pop(tuple(argv), None)
    if process and process.poll() is not None:
        process.discard()
        return None
    return process


def all_taken(program: str, argvs: Iterable[Sequence[str]]) -> None:
    """Note which command lines a task has begun with, for the next run, and end what it has no use for.

    Args:
        program: what the hosts were sent, see `Commands`.
        argvs: for all its hosts.
    """
    drop()
    if _worker.place and not _worker.noted:
        keep_commands(_worker.place, program, argvs)
    _worker.noted = True


def on_failure() -> None:
    """Let the next run begin nothing early: a host could not be reached, and attempts may count against the user."""
    if _worker.place:
        keep_commands(_worker.place, SUPERVISOR, ())


def drop() -> None:
    """End the processes that nobody has taken."""
    while _worker.processes:
        _worker.processes.popitem()[1].discard()


def rest_for(process: object, program: bytes) -> bytes:
    """Return the part of a host's program that a process has not been given yet."""
    return program[process.sent :] if isinstance(process, HandedProcess) else program

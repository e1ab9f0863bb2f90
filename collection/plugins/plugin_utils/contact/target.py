# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is to be met, and programs that are run for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..hosts.access import Way
from ..hosts.connection import Patience, explain
from ..hosts.subprocesses import Cancelled, Subprocesses

_LOOK = 0.1  # seconds between two looks at whether all is to end


@dataclass(frozen=True)
class Target:
    """A host that is to be met.

    Attributes:
        name: the inventory name; of a jump host, the one in ssh's configuration.
        by_key: how ssh reaches it with a key, and asks nobody.
        by_password: the same with a password; None where none is known.
        given: keys that a person has given for it, checked by `given_keys`.
        hello: command that runs `program` on the host in a Python of its own; "" for a host that runs no ranks.
        program: says what the host is, see `commands.hello_program`.
        root: gives the local command line that runs a command on the host as root; raises UsageError.
        local: whether it is this machine, which needs no ssh.
    """

    name: str
    by_key: Way
    by_password: Way | None = None
    given: tuple[str, ...] = ()
    hello: str = ""
    program: bytes = b""
    root: Callable[[str], Sequence[str]] | None = None
    local: bool = False


class Programs:
    """The programs that are run here for hosts; each ends in a bounded time, and none asks on a terminal.

    Args:
        subprocesses: starts them.
        seconds: that each may take.
    """

    def __init__(self, subprocesses: Subprocesses, seconds: float) -> None:
        self._subprocesses = subprocesses
        self._seconds = seconds

    def run(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
        """Run a program to its end and return (exit status, output and errors).

        Args:
            argv: the program.
            data: its standard input.
            seconds: that it may take; by default those of all programs.

        Raises:
            Cancelled: all work was ended.
        """
        limit = seconds or self._seconds
        late = threading.Event()
        with self._subprocesses.start(argv, feed=lambda fd: _write(fd, data)) as program:

            def end() -> None:
                late.set()
                program.kill()

            timer = threading.Timer(limit, end)
            timer.daemon = True
            timer.start()
            try:
                while not program.over:
                    program.take()
            finally:
                timer.cancel()
        if self._subprocesses.closed:
            raise Cancelled
        return program.returncode, f"{program.output}\nno answer within {limit:g} s" if late.is_set() else program.output

    def run_ssh(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
        """Run ssh as `run` does, and again after a pause where too many connections began at once."""
        patience = Patience()
        while True:
            status, output = self.run(argv, data, seconds)
            at = patience.next_try(explain(output, status))
            if at is None:
                return status, output
            while time.monotonic() < at and not self._subprocesses.closed:
                time.sleep(_LOOK)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

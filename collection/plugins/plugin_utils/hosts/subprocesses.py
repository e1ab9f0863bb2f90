# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a deploy runs on the controller (rsync, ssh, pip); none outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Self

_KEPT = 65536  # bytes of a program's output
_PATIENCE = 5.0  # seconds until a write to a program that is gone has failed
# Standard input is a pipe that nobody writes to: it ends when this process does, however that ends. The program gets
# none of it, and is the leader of its group, so that group 0 is the program with all that it has started.
_WITH_US = 'exec 3<&0 </dev/null; { cat <&3; kill -KILL 0; } >/dev/null 2>&1 & exec 3<&-; exec "$@"'

Feed = Callable[[int], None]  # writes to a descriptor


class Cancelled(Exception):
    """A deploy or check was ended, from another thread."""


class Subprocess:
    """A program that runs; made by `Subprocesses.start`. Leaving its context ends it with all that it has started.

    Attributes:
        fd: descriptor of its output and errors.
        over: whether it has closed that, which it does by ending.
        returncode: known when the context was left.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: str | None,
        feed: Feed | None,
        env: Mapping[str, str] | None,
        leave: Callable[[Subprocess], None],
    ) -> None:
        self.over = False
        self.returncode = 0
        self._kept = b""
        self._leave = leave
        self._error: OSError | None = None
        words = argv if feed else ["/bin/sh", "-c", _WITH_US, "sh", *argv]
        self._process = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._stdin, self._stdout = (pipe for pipe in (self._process.stdin, self._process.stdout) if pipe)
        self.fd = self._stdout.fileno()
        self._feeder = threading.Thread(target=self._feed, args=(feed,), daemon=True) if feed else None
        if self._feeder:
            self._feeder.start()

    @property
    def output(self) -> str:
        """Its output and errors so far, or the end of them."""
        return self._kept.decode("utf-8", "replace")

    def take(self) -> bytes:
        """Read from its output; wait until there is some, or it has ended."""
        data = os.read(self.fd, 65536)
        self.over = not data
        self._kept = (self._kept + data)[-_KEPT:]
        return data

    def _feed(self, feed: Feed) -> None:
        try:
            feed(self._stdin.fileno())
        except OSError as exc:
            # It does not read on: its output tells why.
            self._error = None if isinstance(exc, BrokenPipeError) else exc
            if self._error:
                self.kill()
        finally:
            with contextlib.suppress(OSError):
                self._stdin.close()

    def kill(self) -> None:
        """Kill it and its descendants; only before it has been waited for."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None and self.over:
            self._process.wait()
        self._leave(self)
        if self._process.returncode is None:
            self.kill()
        self.returncode = self._process.wait()
        if self._feeder:
            self._feeder.join(_PATIENCE)
        else:
            self._stdin.close()  # the rest of the group ends by that
        self._stdout.close()
        if kind is None and self._error:
            raise self._error


class Subprocesses:
    """All programs of one deploy or check.

    Attributes:
        closed: whether `close` was called.
    """

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._running: set[Subprocess] = set()

    def start(
        self, argv: Sequence[str], *, cwd: str | None = None, feed: Feed | None = None, env: Mapping[str, str] | None = None
    ) -> Subprocess:
        """Start a program.

        Args:
            argv: the program.
            cwd: its working directory.
            feed: writes to its standard input, in a thread of its own; without it there is none. An error of it
                ends the program, and is raised when the context is left.
            env: its variables; None for those of this process.

        Raises:
            Cancelled: `close` was called.
        """
        with self._lock:
            if self.closed:
                raise Cancelled
            program = Subprocess(argv, cwd, feed, env, self._leave)
            self._running.add(program)
        return program

    def run(self, argv: Sequence[str], on_line: Callable[[str], object], *, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a program to its end and return (exit status, output); raise Cancelled when `close` was called."""
        with self.start(argv, env=env) as program:
            lines = b""
            while not program.over:
                *whole, lines = (lines + program.take()).split(b"\n")
                for line in whole:
                    on_line(line.decode("utf-8", "replace"))
        if self.closed:
            raise Cancelled
        return program.returncode, program.output

    def close(self) -> None:
        """Kill all of them, and let no other start. From any thread."""
        with self._lock:
            self.closed = True
            for program in self._running:
                program.kill()

    def _leave(self, program: Subprocess) -> None:
        with self._lock:
            self._running.discard(program)

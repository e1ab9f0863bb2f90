# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One launcher under measurement: started in the lab's controller network, read, timed, and gone at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.lab import Lab

from .processes import Process, all_processes, arguments, children, tree

_READ = 1024 * 1024


class ProgramFailed(Exception):
    """A launcher did not do what is to be measured."""


@dataclass(frozen=True)
class Usage:
    """What a run took.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of processor time of the launcher and all that it started on the controller, orphans included.
        returncode: of the launcher.
    """

    wall: float
    cpu: float
    returncode: int


class Program:
    """A launcher and its descendants, orphans included. As a context manager it leaves none of them.

    Works only in a process that is a subreaper and runs one program at a time.

    Args:
        lab: whose controller network it runs in.
        argv, env: what to run.
        plain_ssh: make `ssh node1` work without an option or a configuration.
        stdin: `pipe`, open and silent as long as it runs, or `null`.
        keep: pids of orphans of earlier runs (open ssh masters) that this one may use; they stay.
    """

    def __init__(
        self,
        lab: Lab,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str],
        plain_ssh: bool = False,
        stdin: str = "pipe",
        keep: frozenset[int] = frozenset(),
    ) -> None:
        self._keep = keep
        self._others = children() - keep
        self._kept_cpu = self._cpu_of(keep)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._started = time.monotonic()
        self._process: subprocess.Popen[Any] = lab.popen(
            argv,
            plain_ssh=plain_ssh,
            env=dict(env),
            stdin=subprocess.PIPE if stdin == "pipe" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            bufsize=0,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._eof = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Of the launcher itself."""
        return self._process.pid

    def tree(self) -> list[Process]:
        """Return the launcher, all its descendants, and its orphans, such as ssh masters."""
        return tree(all_processes(), {self.pid} | self.orphans() | self._keep)

    def orphans(self) -> set[int]:
        """Return what it has started and left to us."""
        return children() - self._others - self._keep - {self.pid}

    def masters(self) -> set[int]:
        """Return the ssh masters among them; others may only be slow to end."""
        return {pid for pid in self.orphans() if any("[mux]" in word for word in arguments(pid))}

    def read(
        self,
        on_data: Callable[[bytes], None],
        timeout: float,
        *,
        until: Callable[[], bool] = lambda: False,
        every: float = 1.0,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Read its standard output to the end, or until `until`; call `on_tick` about `every` seconds."""
        assert self._process.stdout
        fd, deadline, tick = self._process.stdout.fileno(), time.monotonic() + timeout, time.monotonic() + every
        while not until():
            now = time.monotonic()
            if now > deadline:
                raise ProgramFailed(f"not over after {timeout:.0f} s: {self.complaint()}")
            if now >= tick:
                on_tick()
                tick = time.monotonic() + every
            ready = select.select([fd, self._pidfd], [], [], max(0.0, min(tick, deadline) - now))[0]
            if fd in ready:
                data = os.read(fd, _READ)
                if not data:
                    return
                on_data(data)
            elif ready:
                return  # it has ended; whoever still holds the pipe is not it

    def wait(self, timeout: float) -> Usage:
        """Wait for its end and return what it took."""
        if not select.select([self._pidfd], [], [], timeout)[0]:
            raise ProgramFailed(f"not over after {timeout:.0f} s: {self.complaint()}")
        wall = time.monotonic() - self._started
        _pid, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + self._cpu_of(self.orphans()) + self._cpu_of(self._keep) - self._kept_cpu
        return Usage(wall, cpu, self._process.returncode)

    def complaint(self) -> str:
        """Return the end of what it said on standard error."""
        self._stderr.seek(0)
        return self._stderr.read()[-2000:].decode("utf-8", "replace").strip()

    def end(self, *, keep_orphans: bool = False) -> None:
        """Kill whatever is left of it, except with `keep_orphans` those."""
        with contextlib.ExitStack() as stack:
            for stream in (self._process.stdin, self._process.stdout, self._stderr):
                if stream:
                    stack.callback(stream.close)
            stack.callback(self._close_pidfd)
            if self._process.returncode is None:
                for process in tree(all_processes(), {self.pid}):
                    kill(process.pid)
                self._process.wait()
            if not keep_orphans:
                # What a killed process has started becomes ours, so look until there is nothing.
                while left := self.orphans():
                    for pid in left:
                        reap(pid)

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _cpu_of(self, roots: set[int] | frozenset[int]) -> float:
        return sum(process.cpu for process in tree(all_processes(), roots)) if roots else 0.0


def kill(pid: int) -> None:
    """Send SIGKILL; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def reap(pid: int) -> None:
    """Kill one of our children and wait for its end."""
    kill(pid)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)

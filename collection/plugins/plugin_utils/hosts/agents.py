# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection with an agent, which answers calls about a host and changes its files."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ...module_utils.shared import wire
from .bootstrap import agent as agent_program
from .connection import CHUNK, Connection, Patience, Process, busy, not_started
from .replies.answers import most_bytes, progress_of, reply_of, unexpected
from .subprocesses import Cancelled, Feed, Subprocesses

_LOOK = 1.0  # seconds between two looks at whether all is to end
_BRIEFLY = 0.05  # seconds between two looks while nothing is to be read
# Seconds that a call may take, between two news of it and in all, however often its host shows that it is alive.
_QUIET, _LONGEST = 2 * 3600.0, 24 * 3600.0
_LAST_WORDS = 1.0  # seconds that a process may take to end, once it has closed its output
Progress = Callable[[str, str], None]  # host, text

T = TypeVar("T")


class HostFailed(Exception):
    """A host could not do its part; the text says why, for a person."""


class Agent(Protocol):
    """A host that answers calls, as the functions of a round see it.

    Attributes:
        host: the inventory name.
        lease: seconds of silence after which the host is given up.
    """

    host: str
    lease: float

    def call(self, do: str, **arguments: Any) -> Any:
        """Run a function on the host and return its result."""

    def run(self, argv: Sequence[str], *, cwd: str | None = None, feed: Feed | None = None) -> tuple[int, str]:
        """Run a program here, on behalf of the host, and return (exit status, output)."""


@dataclass(frozen=True)
class Limits:
    """How long a silent host is waited for.

    Attributes:
        answer: seconds until the agent's first answer.
        lease: seconds of silence after that.
    """

    answer: float
    lease: float


class AgentClient(Connection):
    """The connection with the agent of one host. Used by one thread at a time; `close` and `ping` by any.

    Args:
        host: the inventory name.
        process: starts the agent there.
        limits: for a silent host.
        progress: takes the news of a call.
        subprocesses: starts programs here.
        clock: monotonic seconds.
        again: starts the agent once more, after a connection that was turned away; None to give up at once.
    """

    def __init__(
        self,
        host: str,
        process: Process,
        limits: Limits,
        progress: Progress,
        subprocesses: Subprocesses,
        clock: Callable[[], float] = time.monotonic,
        again: Callable[[], Process] | None = None,
    ) -> None:
        super().__init__(host, process, agent_program())
        self._again = again
        self._patience = Patience(clock)
        self.lease = limits.lease
        self._limits = limits
        self._progress = progress
        self._subprocesses = subprocesses
        self._clock = clock
        self._early = b""
        self._closed = False

    def call(self, do: str, **arguments: Any) -> Any:
        """Run a function on the host and return its result.

        Raises:
            HostFailed: the host is gone, or the function reports a problem.
            WireError: the answer is none to this call; its connection is ended.
            Cancelled: `close` was called.
        """
        request = wire.encode_json(wire.CALL, {"do": do, "with": arguments})
        self.decoder.most = most_bytes(do, request)
        try:
            self._put(request)
            reply = self._reply_to(do, arguments)
        except wire.WireError:
            self.process.kill()
            raise
        if "error" in reply:
            raise HostFailed(reply["error"])
        return reply["result"]

    def _reply_to(self, do: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        heard, patience = self._clock(), self.lease if self.decoder.synchronised else self._limits.answer
        end, news = heard + _LONGEST, heard
        while True:
            now = self._clock()
            if now > heard + patience:
                raise self._silent(patience)
            if now > min(end, news + _QUIET):
                self.process.kill()
                raise HostFailed(f"no answer for {(now - news) / 3600:.0f} h, though it shows life: does a program hang there?")
            for frame in self._wait(heard + patience - now)[1]:
                heard, patience = self._clock(), self.lease
                if frame.kind == wire.PROGRESS:
                    news = heard
                    self._progress(self.host, progress_of(self.host, frame))
                elif frame.kind == wire.REPLY:
                    return reply_of(self.host, do, arguments, frame)
                elif frame.kind != wire.PONG:
                    raise unexpected(self.host, frame)

    def ping(self) -> None:
        """Show the host that we are there. From any thread; its answers are read by the next call."""
        if self.decoder.synchronised:
            self.send(wire.encode(wire.PING))

    def run(self, argv: Sequence[str], *, cwd: str | None = None, feed: Feed | None = None) -> tuple[int, str]:
        """Run a program here, on behalf of this host, and return (exit status, output and errors).

        One whose own connection with the host was turned away is run again, as the agent is.

        Args:
            argv: the program.
            cwd: its working directory.
            feed: writes to its standard input, given the descriptor; called anew for each run.

        Raises:
            HostFailed: the host is gone. The program, which also talks to the host, might not notice for long.
            Cancelled: `close` was called.
            OSError: `feed` raised it.
        """
        patience = Patience(self._clock)
        while True:
            status, output = self._run(argv, cwd, feed)
            at = patience.next_try(busy(output, status)) if status else None
            if at is None:
                return status, output
            heard = self._clock()
            while self._clock() < at:
                heard = self._listen(heard, at - self._clock())[1]

    def _run(self, argv: Sequence[str], cwd: str | None, feed: Feed | None) -> tuple[int, str]:
        heard = self._clock()
        with _started(lambda: self._subprocesses.start(argv, cwd=cwd, feed=feed), argv[0]) as program:
            while not program.over:
                ready, heard = self._listen(heard, self.lease, program.fd)
                if ready:
                    program.take()
        if self._closed:
            raise Cancelled
        return program.returncode, program.output

    def _listen(self, heard: float, timeout: float, *others: int) -> tuple[list[int], float]:
        """Wait for another descriptor to become readable; return those that are, and when the host was heard last.

        Args:
            heard: when it was heard before; from then on it has its lease.
            timeout: seconds after which there is no more waiting.
            others: the descriptors.
        """
        left = heard + self.lease - self._clock()
        if left <= 0:
            raise self._silent(self.lease)
        ready, frames = self._wait(min(left, max(timeout, 0.0)), *others)
        return ready, self._clock() if frames else heard

    def _silent(self, patience: float) -> HostFailed:
        """Give the host up; ssh would go on trying for long."""
        self.process.kill()
        known = self.decoder.synchronised
        return HostFailed(f"silent for {patience:g} s: network, host or sleep" if known else f"no answer within {patience:g} s")

    def _wait(self, timeout: float, *others: int) -> tuple[list[int], list[wire.Frame]]:
        """Wait for frames of the host, or for another descriptor to become readable; return those, and the frames."""
        stdin, stdout, stderr = self._pipes
        frames: list[wire.Frame] | None = []
        sources: list[Any] = [stdout, stderr, *others]
        ready: list[Any] = []
        try:
            ready = _ready(sources, [stdin] if self._out else [], min(timeout, _LOOK))
            if stdin in ready:
                self.flush()
            if stderr in ready:
                self.read_errors()
            if stdout in ready:
                frames = self.receive()
        except (OSError, ValueError):  # closed under our feet
            frames = None
        if self._closed:
            raise Cancelled
        if frames is None:
            self._try_again(self.reason(_LAST_WORDS))
            return [], []
        if self._early and self.decoder.synchronised:
            early, self._early = self._early, b""
            self._put(early)
        return [fd for fd in others if fd in ready], frames

    def _try_again(self, reason: str) -> None:
        """Start the agent once more where its connection was turned away; raise HostFailed for any other end."""
        at = self.next_try(reason, self._patience)
        if self._again is None or at is None:
            raise HostFailed(reason)
        while not self._closed and self._clock() < at:
            time.sleep(_BRIEFLY)
        if self._closed:
            raise Cancelled
        self._reconnect(_started(self._again), agent_program())

    def _put(self, data: bytes) -> None:
        """Send it once the agent listens: a Python that still reads its program would swallow the call."""
        if self.decoder.synchronised:
            self.send(data)
        else:
            self._early += data

    def close(self) -> None:
        """Let go of the host: its agent sees the end and stops its work. A call in another thread ends too."""
        self._closed = True
        # The other descriptors stay until `finish`: another thread may be about to use their numbers.
        with self._writing:
            self._out.clear()
            self._pipes[0].close()

    def finish(self, patience: float) -> None:
        """Wait so many seconds for the local process to end, then kill it; call it when no other thread uses this."""
        self.close()
        deadline = time.monotonic() + patience
        _await_last_output(self.process, patience)
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        super().close()


def _await_last_output(process: Process, seconds: float) -> None:
    """Wait so long for the end of a process's output, or of the process, should another one have its output, too.

    To wait for a process with a timeout is to sleep and look again; the end of its output is seen at once.
    """
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError, ValueError):  # closed already
        while process.stdout and process.poll() is None and (left := deadline - time.monotonic()) > 0:
            if _ready([process.stdout], [], min(left, _BRIEFLY)) and not os.read(process.stdout.fileno(), CHUNK):
                return


def _started(start: Callable[[], T], name: str = "the connection") -> T:
    """Start something on this machine; that it cannot be is the failure of the host that it is for."""
    try:
        return start()
    except OSError as exc:
        raise HostFailed(not_started(exc, name)) from None


def _ready(reading: Sequence[Any], writing: Sequence[Any], seconds: float) -> list[Any]:
    """Wait until one can be read or written, and return those; unlike select(2), for any number of descriptors."""
    poll = select.poll()
    for sources, mask in ((reading, select.POLLIN), (writing, select.POLLOUT)):
        for source in sources:
            poll.register(source, mask)
    found = dict(poll.poll(seconds * 1000))
    if select.POLLNVAL in found.values():
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return [source for source in (*reading, *writing) if (source if isinstance(source, int) else source.fileno()) in found]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the controller's end of the agents, one per host, a thread each."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Self

from ..module_utils import _wire as wire
from ._channel import explain
from ._children import Cancelled, Children, Feed
from ._program import agent as agent_program

_STDERR_KEPT = 8192
_WAIT = 0.5  # seconds between words about who is not done
_PARTING = 5.0  # seconds agents may take to go
_LOOK = 1.0  # seconds between two looks at whether all is to end
Progress = Callable[[str, str], None]  # host, text


class HostFailed(Exception):
    """A host could not do its part; the text says why, for a person."""


class Agent:
    """One host's connection, with an agent at its other end. Used by one thread at a time; `close` by any.

    Args:
        host: the inventory name.
        argv: the command that starts the agent there.
        patience: seconds it may take until the agent answers.
        lease: seconds of silence after which the host is given up.
        progress: told what a call does meanwhile.
        children: starts programs here.
    """

    def __init__(self, host: str, argv: Sequence[str], patience: float, lease: float, progress: Progress, children: Children) -> None:
        self.host = host
        self._patience = patience
        self.lease = lease
        self._progress = progress
        self._closed = False
        self._children = children
        self._writing = threading.Lock()
        self._decoder = wire.Decoder(marker=True)
        self._errors = b""
        self._early = b""
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        self._stdin, self._stdout, self._stderr = (
            pipe for pipe in (self._process.stdin, self._process.stdout, self._process.stderr) if pipe
        )
        os.set_blocking(self._stdin.fileno(), False)
        self._out = bytearray(agent_program())
        self._flush()  # its Python starts while we turn to the next host

    def call(self, do: str, **arguments: Any) -> Any:
        """Have a function run on the host and return what it returns.

        Raises:
            HostFailed: the host is gone, or the function says what is wrong.
            Cancelled: `close` was called.
        """
        self._send(wire.encode_json(wire.CALL, {"do": do, "with": arguments}))
        heard, patience = time.monotonic(), self.lease if self._decoder.synchronised else self._patience
        while True:
            now = time.monotonic()
            if now > heard + patience:
                raise self._silent(patience)
            for frame in self._receive(heard + patience - now)[1]:
                heard, patience = time.monotonic(), self.lease
                if frame.kind == wire.PROGRESS:
                    self._progress(self.host, frame.json()["text"])
                elif frame.kind == wire.REPLY:
                    reply = frame.json()
                    if "error" in reply:
                        raise HostFailed(reply["error"])
                    return reply["result"]

    def ping(self) -> None:
        """Let the host know that we are there. From any thread; its answers are read by the next call."""
        if self._decoder.synchronised:
            self._send(wire.encode(wire.PING))
            self._flush()

    def run(self, argv: Sequence[str], *, cwd: str | None = None, feed: Feed | None = None) -> tuple[int, str]:
        """Run a program here, on behalf of this host, and return (exit status, what it said).

        Args:
            argv: the program.
            cwd: its working directory.
            feed: writes to its standard input, given the descriptor.

        Raises:
            HostFailed: the host is gone. The program, which also talks to the host, might not notice for long.
            Cancelled: `close` was called.
            OSError: what `feed` raised.
        """
        heard = time.monotonic()
        with self._children.start(argv, cwd=cwd, feed=feed) as child:
            while not child.over:
                left = heard + self.lease - time.monotonic()
                if left <= 0:
                    raise self._silent(self.lease)
                ready, frames = self._receive(left, child.fd)
                heard = time.monotonic() if frames else heard
                if ready:
                    child.take()
        if self._closed:
            raise Cancelled
        return child.returncode, child.said

    def _silent(self, patience: float) -> HostFailed:
        """Give the host up; ssh would go on trying for long."""
        self._process.kill()
        known = self._decoder.synchronised
        return HostFailed(f"silent for {patience:g} s: network, host or sleep" if known else f"no answer within {patience:g} s")

    def _receive(self, timeout: float, *others: int) -> tuple[list[int], list[wire.Frame]]:
        """Wait for frames of the host, or for another descriptor to become readable; return those that are, and the frames."""
        writing = [self._stdin] if self._out else []
        try:
            sources: list[Any] = [self._stdout, self._stderr, *others]
            ready, writable, _none = select.select(sources, writing, [], min(timeout, _LOOK))
            if writable:
                self._flush()
            if self._stderr in ready:
                self._errors = (self._errors + os.read(self._stderr.fileno(), 65536))[-_STDERR_KEPT:]
            data = os.read(self._stdout.fileno(), 262144) if self._stdout in ready else None
        except (OSError, ValueError):  # closed under our feet
            data = b""
        if self._closed:
            raise Cancelled
        if data == b"":
            raise HostFailed(self._reason())
        frames = self._decoder.feed(data) if data else []
        if self._early and self._decoder.synchronised:
            early, self._early = self._early, b""
            self._send(early)
        return [fd for fd in others if fd in ready], frames

    def _send(self, data: bytes) -> None:
        if not self._decoder.synchronised:
            # While Python still reads the program it would read this as well, into a buffer that nobody looks at again.
            self._early += data
            return
        with self._writing:
            self._out += data

    def _flush(self) -> None:
        with self._writing:
            try:
                while self._out:
                    del self._out[: os.write(self._stdin.fileno(), self._out[:65536])]
            except BlockingIOError:
                pass
            except (OSError, ValueError):
                self._out.clear()  # the end shows on the reading side

    def _reason(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        with contextlib.suppress(OSError, ValueError):
            while select.select([self._stderr], [], [], 0)[0] and (data := os.read(self._stderr.fileno(), 65536)):
                self._errors += data
        said = (self._errors or self._decoder.greeting).decode("utf-8", "replace")
        return explain(said, self._process.poll())

    def close(self) -> None:
        """Let go of the host: its agent sees the end and stops what it does. A call in another thread ends too."""
        self._closed = True
        # The descriptors stay until `finish`: another thread may be about to use their numbers.
        with self._writing:
            self._out.clear()
            if not self._stdin.closed:
                self._stdin.close()

    def finish(self, patience: float) -> None:
        """Wait so many seconds for the local process to end, then kill it; call it when no thread uses this any more."""
        self.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        self._stderr.close()


class Agents:
    """An agent on each host. As a context manager it leaves none.

    Args:
        commands: by host, the command that starts the agent there.
        patience, lease: see `Agent`.
        progress: told what calls do meanwhile.
        children: starts programs here.

    Attributes:
        failed: why a host could not do its part, by host.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], patience: float, lease: float, progress: Progress, children: Children
    ) -> None:
        self._finished = threading.Event()
        self.failed: dict[str, str] = {}
        self._agents: dict[str, Agent] = {}
        for host, argv in commands.items():
            self._agents[host] = Agent(host, argv, patience, lease, progress, children)
        self._pulse = threading.Thread(target=self._ping, args=(lease / 3,), daemon=True)

    def __enter__(self) -> Self:
        self._pulse.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._finished.set()
        self.close()
        deadline = time.monotonic() + _PARTING
        for agent in self._agents.values():
            agent.finish(max(0.0, deadline - time.monotonic()))

    def each(
        self,
        function: Callable[[Agent], Any],
        hosts: Sequence[str] | None = None,
        on_wait: Callable[[list[str]], None] = lambda _hosts: None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Run a function for every host, or those named, and return its results by host.

        What fails is noted in `failed` and does not disturb the others. `on_wait` is told now and then who is not done.
        `meanwhile` is done here while they are at work; what it raises ends them all.
        """
        wanted = list(self._agents if hosts is None else hosts)
        results: dict[str, Any] = {}
        if not wanted:
            return results

        def one(host: str) -> None:
            try:
                results[host] = function(self._agents[host])
            except (HostFailed, wire.WireError) as exc:
                self.failed[host] = str(exc)

        with ThreadPoolExecutor(len(wanted)) as pool:
            futures = {pool.submit(one, host): host for host in wanted}
            pending: set[Future[None]] = set(futures)
            try:
                meanwhile()
            except BaseException:
                self.close()
                raise
            while pending:
                pending = wait(pending, _WAIT).not_done
                if pending:
                    on_wait([host for future, host in futures.items() if future in pending])
            for future in futures:
                future.result()
        return {host: results[host] for host in wanted if host in results}

    def close(self) -> None:
        """End everything; `each` raises Cancelled. From any thread."""
        for agent in self._agents.values():
            agent.close()

    def _ping(self, every: float) -> None:
        while not self._finished.wait(every):
            for agent in self._agents.values():
                agent.ping()

"""Hosts for tests: agents that answer from a script, and processes whose far end is the test."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed, Limits, Progress
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled, Feed, Subprocesses
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings

# The answer to a call: a value, an error to raise, or a function of the call's arguments.
Answer = Any


class Events:
    """Takes events, and keeps them."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str | None, dict[str, Any]]] = []

    def __call__(self, kind: str, host: str | None = None, **details: Any) -> None:
        self.all.append((kind, host, details))

    def of(self, kind: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Return (host, details) of the events of a kind."""
        return [(host, details) for known, host, details in self.all if known == kind]


class FakeAgent:
    """An agent that answers from a script.

    Attributes:
        calls: (function, arguments) of each call so far.
        programs: command lines that were run on its behalf.
    """

    def __init__(self, host: str, script: Mapping[str, Answer], progress: Progress) -> None:
        self.host = host
        self.lease = 30.0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.programs: list[list[str]] = []
        self.pings = threading.Event()
        self.finished = False
        self._script = script
        self._progress = progress
        self._closed = threading.Event()

    def call(self, do: str, **arguments: Any) -> Any:
        if self._closed.is_set():
            raise Cancelled
        self.calls.append((do, arguments))
        answer = self._script.get(do)
        if isinstance(answer, Exception):
            raise answer
        return answer(**arguments) if callable(answer) else answer

    def run(self, argv: Sequence[str], *, cwd: str | None = None, feed: Feed | None = None) -> tuple[int, str]:  # noqa: ARG002
        self.programs.append(list(argv))
        answer: tuple[int, str] = self.call("a program here")
        return answer

    def report(self, text: str) -> None:
        """Give news of the call in progress."""
        self._progress(self.host, text)

    def wait_until_closed(self, **_arguments: Any) -> Any:
        """Answer a call as a host that is stuck: not before the connection is closed."""
        assert self._closed.wait(60), "nobody closed it"
        raise Cancelled

    def named(self, do: str) -> list[dict[str, Any]]:
        """Return the arguments of each call of a function."""
        return [arguments for name, arguments in self.calls if name == do]

    def flush(self) -> None:
        pass

    def ping(self) -> None:
        self.pings.set()

    def close(self) -> None:
        self._closed.set()

    def finish(self, patience: float) -> None:  # noqa: ARG002
        self.finished = True


class FakeFleet(Fleet):
    """A fleet of such agents.

    Args:
        scripts: by host, the answers to calls.

    Attributes:
        agents: by host, once it is open.
    """

    def __init__(self, scripts: Mapping[str, Mapping[str, Answer]], settings: JobSettings | None = None) -> None:
        self.agents: dict[str, FakeAgent] = {}

        def connect(host: str, _argv: Sequence[str], _limits: Limits, progress: Progress, _programs: Subprocesses) -> FakeAgent:
            self.agents[host] = FakeAgent(host, scripts[host], progress)
            return self.agents[host]

        super().__init__({host: access(host) for host in scripts}, settings or JobSettings(), connect)


def access(host: str) -> Access:
    """Return the access to a host that nobody connects to."""
    return Access(lambda command: ["connect-to", host, command], "start-agent")


def lost() -> HostFailed:
    """Return the error of a host that is gone."""
    return HostFailed("silent for 30 s: network, host or sleep")


class Clock:
    """Monotonic seconds, that go on by a step each time somebody looks."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


class FakeProcess:
    """A process whose far end is the test: it writes its output, and reads its input."""

    def __init__(self) -> None:
        near_out, far_out = os.pipe()
        near_err, far_err = os.pipe()
        far_in, near_in = os.pipe()
        self.stdin, self.stdout, self.stderr = os.fdopen(near_in, "wb", 0), os.fdopen(near_out, "rb", 0), os.fdopen(near_err, "rb", 0)
        self._input, self._output, self._errors = os.fdopen(far_in, "rb", 0), os.fdopen(far_out, "wb", 0), os.fdopen(far_err, "wb", 0)
        os.set_blocking(far_in, False)
        self.returncode: int | None = None
        self.killed = False

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            raise subprocess.TimeoutExpired("fake", timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        self.killed = True
        self.end(-9)

    def write(self, data: bytes, errors: bytes = b"") -> None:
        """Write output, and errors."""
        self._output.write(data)
        if errors:  # a thread may be at it when the process has ended
            self._errors.write(errors)

    def read(self) -> bytes:
        """Return the input so far."""
        data = b""
        while piece := self._input.read(65536):
            data += piece
        return data

    def end(self, returncode: int) -> None:
        """End it."""
        self.returncode = returncode if self.returncode is None else self.returncode
        self._output.close()
        self._errors.close()

    def close(self) -> None:
        """Let go of all pipes."""
        for pipe in (self.stdin, self.stdout, self.stderr, self._input, self._output, self._errors):
            pipe.close()

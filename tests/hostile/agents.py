"""Agents that answer from a script over real pipes: what they write is up to the test, byte for byte."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import AgentClient, Limits, Progress
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent as agent_program
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Subprocesses

#: Given a call and its arguments, the bytes that answer it, and whether the host goes on after that.
Script = Callable[[str, dict[str, Any]], tuple[bytes, bool]]


class ScriptedAgent:
    """The local process of a connection, and at its other end a host that answers calls from a script.

    Attributes:
        calls: (function, arguments) of each call so far.
    """

    def __init__(self, script: Script) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._script = script
        far_in, near_in = os.pipe()
        near_out, far_out = os.pipe()
        near_err, far_err = os.pipe()
        os.close(far_err)
        self.stdin, self.stdout, self.stderr = os.fdopen(near_in, "wb", 0), os.fdopen(near_out, "rb", 0), os.fdopen(near_err, "rb", 0)
        self._far_in, self._far_out = far_in, far_out
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        decoder = wire.Decoder()
        skip = len(agent_program())
        try:
            while skip and (data := os.read(self._far_in, min(skip, 65536))):
                skip -= len(data)
            os.write(self._far_out, wire.MARKER)
            goes_on = True
            while goes_on and (data := os.read(self._far_in, 65536)):
                for frame in decoder.feed(data):
                    goes_on = goes_on and (frame.kind != wire.CALL or self._answer(frame.json()))
        except BrokenPipeError:
            pass
        finally:
            os.close(self._far_out)
            os.close(self._far_in)

    def _answer(self, call: dict[str, Any]) -> bool:
        self.calls.append((call["do"], call["with"]))
        data, goes_on = self._script(call["do"], call["with"])
        view = memoryview(data)
        while view:
            view = view[os.write(self._far_out, view) :]
        return goes_on

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("agent", timeout or 0.0)
        return 0

    def kill(self) -> None:
        """Let it go: its input ends, and nobody reads its output."""
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def connect(scripts: dict[str, Script], agents: dict[str, ScriptedAgent]) -> Any:
    """Return a function by which a fleet connects to such hosts; it notes them in `agents`."""

    def connect_to(host: str, _argv: Sequence[str], limits: Limits, progress: Progress, programs: Subprocesses) -> AgentClient:
        agents[host] = ScriptedAgent(scripts[host])
        return AgentClient(host, agents[host], limits, progress, programs)

    return connect_to

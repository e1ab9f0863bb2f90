"""The supervisor as a program of its own, started and spoken to as a controller does."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import bootstrap
from tests.support.processes import descendants, is_gone
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.host_specs import OWN_JOB, host_spec, rank_spec


class RealSupervisor:
    """A supervisor with ranks of Python.

    Args:
        folder: working directory; the state directory is in it.
        env: variables on top of this process's own.
        limits: command that changes limits, for a shell, before the supervisor starts.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None, limits: str = ":") -> None:
        self.folder = folder
        program = bootstrap.supervisor()
        command = f"{limits}; {bootstrap.host_command([sys.executable], program)}"
        environment = dict(os.environ, XDG_STATE_HOME=str(folder / "state"), **(env or {}))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(["/bin/sh", "-c", command], cwd=folder, env=environment, **pipes)
        self._decoder = wire.Decoder(marker=True)
        self._frames: list[wire.Frame] = []
        self._write(program)
        self._read()  # until it has begun, whatever comes is read as a part of it

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, kind: int, message: Any = None) -> None:
        """Send a frame."""
        self._write(wire.encode(kind) if message is None else wire.encode_json(kind, message))

    def _read(self) -> bool:
        """Take bytes; return whether there were any, rather than the end."""
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "nothing comes"
        data = os.read(self.process.stdout.fileno(), 65536)
        self._frames += self._decoder.feed(data)
        return bool(data)

    def until(self, kind: int) -> list[wire.Frame]:
        """Return the frames that come, up to the first of a kind."""
        taken: list[wire.Frame] = []
        while True:
            while self._frames:
                taken.append(self._frames.pop(0))
                if taken[-1].kind == kind:
                    return taken
            assert self._read(), f"it ended after {[frame.kind for frame in taken]}"

    def prepare(self, *programs: str, until: int = wire.READY, **changes: Any) -> dict[str, Any]:
        """Send the specification of a job, a rank for each program; return the answer."""
        ranks = [rank_spec(number, sys.executable, "-c", program) for number, program in enumerate(programs)]
        self.send(wire.SPEC, host_spec(*ranks, **({"job": OWN_JOB, "grace": 1.0, "cwd": str(self.folder)} | changes)).to_wire())
        return self.until(until)[-1].json()  # type: ignore[no-any-return]

    def start(self, *programs: str, **changes: Any) -> dict[str, Any]:
        """Start a job; return the facts of the host."""
        facts = self.prepare(*programs, **changes)
        self.send(wire.GO)
        return facts

    def close(self) -> None:
        """End it."""
        family = descendants(self.process.pid)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()
        self.process.wait(PATIENCE)
        wait_until(lambda: all(map(is_gone, family)), "all of it has ended")

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the moment a rank prints a line to the moment the line is forwarded. All clocks are this machine's."""

from __future__ import annotations

import json
import time

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, RUN_JOB, Job
from .measure import Results, rounds, started
from .program import ProgramFailed

LATENCY = "print to forwarded"
HOSTS = 4
_CONTESTANTS = (MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, COMMAND, RUN_JOB)
_INTERVAL = 0.05


class Arrivals:
    """Takes a launcher's output and notes how long each tick took, in milliseconds."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        """Take what has come just now."""
        now = time.monotonic_ns()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"tick "):
                self.took.append((now - int(line.split()[1])) / 1e6)
            elif line.startswith(b'{"us"'):  # run_job's own measurement
                self.took += [us / 1000 for us in json.loads(line)["us"]]


def measure(bed: Bed, results: Results, count: int, seconds: float, *, length: float) -> None:
    """Measure so many rounds, each with ticks for `length` seconds."""
    job = Job(bed.lab.hosts[:HOSTS], RANKS / "ticker.py", (str(length), str(_INTERVAL)))
    for name in rounds(count, seconds, _CONTESTANTS):
        arrivals = Arrivals()
        with results.survive(f"latency, {name}"), started(bed, ALL[name], job) as program:
            program.read(arrivals, 60)
            program.wait(60)
            if not arrivals.took:
                raise ProgramFailed(f"no tick came: {program.complaint()}")
        results.add(LATENCY, name, HOSTS, "ms", *arrivals.took)

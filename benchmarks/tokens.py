# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chat's tokens from rank 0, 200 a second and no end of line, while seven ranks are silent. All clocks are this machine's."""

from __future__ import annotations

import json
import re
import time

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, RUN_JOB, Job
from .measure import Results, rounds, started
from .program import ProgramFailed

LATENCY, TOGETHER = "token to forwarded", "printed apart, forwarded at once"
RATE = 200
HOSTS, SLOTS = 4, 2
_CONTESTANTS = (MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, COMMAND, RUN_JOB)
_TOKEN = re.compile(rb"token (\d+) ")


class Arrivals:
    """Takes a launcher's output.

    Attributes:
        took: milliseconds that each token took.
        apart: the longest time, in milliseconds, between the printing of two tokens that came together.
    """

    def __init__(self) -> None:
        self.took: list[float] = []
        self.apart = 0.0
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        """Take what has come just now."""
        now = time.monotonic_ns()
        data = self._rest + data
        if b'{"us"' in data:  # run_job's own measurement, a line for what came together
            *lines, self._rest = data.split(b"\n")
            for line in lines:
                if line.startswith(b'{"us"'):
                    self._add([us / 1000 for us in json.loads(line)["us"]])
            return
        found = list(_TOKEN.finditer(data))
        self._rest = data[found[-1].end() :] if found else data[-100:]
        self._add([(now - int(token[1])) / 1e6 for token in found])

    def _add(self, took: list[float]) -> None:
        if took:
            self.took += took
            self.apart = max(self.apart, max(took) - min(took))


def measure(bed: Bed, results: Results, count: int, seconds: float, *, length: float) -> None:
    """Measure so many rounds, each with tokens for `length` seconds."""
    job = Job(bed.lab.hosts[:HOSTS], RANKS / "tokens.py", (str(length), str(RATE)), slots=SLOTS)
    for name in rounds(count, seconds, _CONTESTANTS):
        arrivals = Arrivals()
        with results.survive(f"tokens, {name}"), started(bed, ALL[name], job) as program:
            program.read(arrivals, 60)
            program.wait(60)
            if len(arrivals.took) != int(length * RATE):
                raise ProgramFailed(f"{len(arrivals.took)} of {int(length * RATE)} tokens came: {program.complaint()}")
            results.add(LATENCY, name, HOSTS, "ms", *arrivals.took)
            results.add(TOGETHER, name, HOSTS, "ms", arrivals.apart)

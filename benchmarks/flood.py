# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rank writes as fast as it can: how much arrives per second, and what memory the launcher takes meanwhile."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, RUN_JOB, Job
from .measure import Results, rounds, started
from .processes import all_processes, tree
from .program import Program, ProgramFailed

FLOOD, MEMORY = "flood", "resident memory in a flood"
AT_10, AT_100 = "at 10 %", "at 100 %"
MB = 1e6
_CONTESTANTS = (MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, COMMAND, RUN_JOB)
_PATIENCE = 120.0
_PAYLOAD = b"xxxxxxxx"


@dataclass
class Stream:
    """Takes a launcher's output: when the first and the last of the flood came, how much there was.

    A reader of run_job counts for itself and reports as JSON.
    """

    size: int = 0
    first: float = 0.0
    last: float = 0.0

    def __call__(self, data: bytes) -> None:
        """Take what has come just now."""
        if data.startswith(b'{"bytes"'):
            report = json.loads(data.splitlines()[-1])
            self._note(report["bytes"], report["at"])
        elif _PAYLOAD in data:
            self._note(self.size + len(data), time.monotonic())

    def _note(self, size: int, now: float) -> None:
        self.first = self.first or now
        self.size, self.last = size, now

    def rate(self, payload: int) -> float:
        """Return MB/s, or fail when less than the payload has come."""
        if self.size < payload:
            raise ProgramFailed(f"{self.size} of {payload} bytes came")
        return payload / MB / (self.last - self.first)


def measure_rate(bed: Bed, results: Results, count: int, seconds: float, *, size: int) -> None:
    """Measure so many rounds with `size` bytes each."""
    job = _job(bed, size)
    for name in rounds(count, seconds, _CONTESTANTS):
        with results.survive(f"flood, {name}"), started(bed, ALL[name], job) as program:
            stream = Stream()
            program.read(stream, _PATIENCE)
            _expect_success(program)
            results.add(FLOOD, name, 1, "MB/s", stream.rate(int(job.args[0])))


def measure_memory(bed: Bed, results: Results, *, size: int) -> None:
    """Let `size` bytes pass once through each of ours and compare the resident memory early and late."""
    job = _job(bed, size)
    for name in (PLAYBOOK, RUN_JOB):
        with results.survive(f"memory, {name}"), started(bed, ALL[name], job) as program:
            early, late = _watch_memory(bed, program, int(job.args[0]))
            results.add(MEMORY, name, 1, "MB", early, state=AT_10)
            results.add(MEMORY, name, 1, "MB", late, state=AT_100)


def _watch_memory(bed: Bed, program: Program, size: int) -> tuple[float, float]:
    """Return the most that launcher and supervisor had up to 10 %, and during the last 10 %, in MB."""
    stream = Stream()
    samples: list[tuple[int, int]] = []
    host = bed.lab.hosts[0].pid

    def sample() -> None:
        processes = all_processes()
        launcher = sum(process.rss for process in program.tree())
        supervisor = sum(process.rss for process in tree(processes, [host]) if process.name.startswith("python"))
        samples.append((stream.size, launcher + supervisor))

    program.read(stream, _PATIENCE, every=0.1, on_tick=sample)
    _expect_success(program)
    stream.rate(size)
    early = [rss for count, rss in samples if 0 < count <= size * 0.1]
    late = [rss for count, rss in samples if count >= size * 0.9]
    if not early or not late:
        raise ProgramFailed(f"too fast to be sampled: {len(samples)} samples")
    return max(early) / MB, max(late) / MB


def _expect_success(program: Program) -> None:
    usage = program.wait(_PATIENCE)
    if usage.returncode:
        raise ProgramFailed(f"status {usage.returncode}: {program.complaint()}")


def _job(bed: Bed, size: int) -> Job:
    return Job(bed.lab.hosts[:1], RANKS / "flood.py", (str(size // 80 * 80),))

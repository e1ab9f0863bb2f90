# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the launcher takes of a processor while the ranks say nothing."""

from __future__ import annotations

import time

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAYBOOK, Job
from .measure import Results, await_up, started
from .program import Program

QUIET = "processor share while quiet"
HOSTS = 4
STDIN = ("null", "pipe")
_SETTLE = 1.0


def measure(bed: Bed, results: Results, *, length: float) -> None:
    """Watch each launcher for `length` seconds, with both kinds of standard input. mlx.launch needs less time to show."""
    for name in (MLX_LAUNCH, PLAYBOOK, COMMAND):
        for stdin in STDIN:
            seconds = min(length, 4.0) if name == MLX_LAUNCH else length
            job = Job(bed.lab.hosts[:HOSTS], RANKS / "quiet.py", ("120",), grace=0.5)
            with results.survive(f"quiet, {name}, {stdin}"), started(bed, ALL[name], job, stdin=stdin) as program:
                await_up(program, HOSTS)
                time.sleep(_SETTLE)
                shares = _watch(program, seconds)
                note = ", ".join(f"{share:.1f} {part}" for part, share in sorted(shares.items()))
                results.add(QUIET, name, HOSTS, "% of a core", sum(shares.values()), state=f"stdin {stdin}", note=note)
            for host in job.hosts:
                host.kill_all()


def _watch(program: Program, seconds: float) -> dict[str, float]:
    """Return percent of a core by kind of process."""
    begun, before = time.monotonic(), {process.pid: process.cpu for process in program.tree()}
    time.sleep(seconds)
    after, passed = program.tree(), time.monotonic() - begun
    shares: dict[str, float] = {}
    names = {process.pid: process.name for process in after}
    for process in after:
        # Ansible's workers have the name of their parent.
        part = f"{process.name} worker" if names.get(process.ppid) == process.name else process.name
        shares[part] = shares.get(part, 0.0) + (process.cpu - before.get(process.pid, 0.0)) / passed * 100
    return shares

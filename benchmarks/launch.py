# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch of a trivial script: wall time and the launcher's processor time, cold and with ssh masters open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, Contestant, Job
from .measure import COLD, WARM, Results, rounds
from .program import Program, ProgramFailed, Usage

WALL, CPU = "launch", "launch processor time"
_SAID = b"rank here"
_PATIENCE = 60.0
_CONTESTANTS = (MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, COMMAND)


def measure(bed: Bed, results: Results, sizes: Mapping[int, int], seconds: float) -> None:
    """Measure with each number of hosts, so many rounds each, in about `seconds` in all."""
    total = sum(size * count for size, count in sizes.items())
    for size, count in sizes.items():
        _measure_size(bed, results, size, count, seconds * size * count / total)


def _measure_size(bed: Bed, results: Results, size: int, count: int, seconds: float) -> None:
    job = Job(bed.lab.hosts[:size], RANKS / "trivial.py")
    states = [(ALL[name], state) for name in _CONTESTANTS for state in (COLD, WARM) if state == COLD or ALL[name].keeps_masters]
    with bed.sockets() as warm:
        try:
            _open_masters(bed, job, warm)
            for contestant, state in rounds(count, seconds, states):
                with results.survive(f"launch, {size} hosts, {contestant.name}, {state}"):
                    usage = _launch_warm(bed, contestant, job, warm) if state == WARM else _launch_cold(bed, contestant, job)
                    results.add(WALL, contestant.name, size, "s", usage.wall, state=state)
                    results.add(CPU, contestant.name, size, "s", usage.cpu, state=state)
        finally:
            bed.drop_masters()
    bed.clear_runs()


def _launch_cold(bed: Bed, contestant: Contestant, job: Job) -> Usage:
    with bed.sockets() as sockets, _program(bed, contestant, job, sockets) as program:
        return _finish(program, len(job.hosts))


def _launch_warm(bed: Bed, contestant: Contestant, job: Job, sockets: Path) -> Usage:
    with _program(bed, contestant, job, sockets) as program:
        usage = _finish(program, len(job.hosts))
        if program.orphans():
            raise ProgramFailed("it has opened ssh masters although there were some")
        return usage


def _open_masters(bed: Bed, job: Job, sockets: Path) -> None:
    """Let each launcher open its own masters, and keep them. Ansible's are shared by the two ways to use it."""
    for name in (PLAIN_SSH, PLAYBOOK):
        program = _program(bed, ALL[name], job, sockets)
        try:
            _finish(program, len(job.hosts))
            bed.masters |= program.orphans()
        finally:
            program.end(keep_orphans=True)


def _program(bed: Bed, contestant: Contestant, job: Job, sockets: Path) -> Program:
    command = contestant.command(bed, job, sockets)
    return Program(bed.lab, command, env=bed.environment(sockets), plain_ssh=contestant.plain_ssh, keep=bed.masters)


def _finish(program: Program, ranks: int) -> Usage:
    heard = bytearray()
    program.read(heard.extend, _PATIENCE)
    usage = program.wait(_PATIENCE)
    if usage.returncode or heard.count(_SAID) != ranks:
        raise ProgramFailed(f"status {usage.returncode}, {heard.count(_SAID)} of {ranks} ranks heard: {program.complaint()}")
    return usage

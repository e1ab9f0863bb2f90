# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch of a trivial script: wall time, and processor time of the launcher and of a host, cold and with ssh masters open."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import boot_code, supervisor
from tests.lab import Host

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, EMPTY, MLX_LAUNCH, ONE_TASK, PLAIN_SSH, PLAYBOOK, RUN_JOB, Contestant, Job
from .measure import COLD, WARM, Results, rounds
from .processes import all_processes, reaped_cpu, tree
from .program import Program, ProgramFailed, Usage

WALL, CPU = "launch", "launch processor time"
HOST = "processor time of a host for its supervisor, over that for ssh and a rank"
START = "processor time of a supervisor's start and end, with nothing to do"
SUPERVISOR, BARE_PYTHON = "supervisor", "python -I -S"
HOSTS = 4
_WITHOUT_SESSION = 2  # processes of a host: its first one, and sshd
_SAID = b"rank here"
_PATIENCE = 60.0
_CONTESTANTS = (MLX_LAUNCH, EMPTY, ONE_TASK, PLAIN_SSH, PLAYBOOK, COMMAND, RUN_JOB)


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


def measure_host(bed: Bed, results: Results, count: int, seconds: float) -> None:
    """Measure what a launch takes of a host's processor, beside the same script by plain ssh; so many rounds.

    Connections are new each time: what a session has taken is known when it has ended.
    """
    job = Job(bed.lab.hosts[:HOSTS], RANKS / "trivial.py")
    for turn in rounds(count, seconds, range(1)):
        with results.survive(f"{HOST}, round {turn}"):
            theirs, ours = (_taken_by(bed, ALL[name], job) for name in (PLAIN_SSH, PLAYBOOK))
            results.add(HOST, PLAYBOOK, HOSTS, "ms", (ours - theirs) / HOSTS * 1e3)


def measure_start(results: Results, count: int) -> None:
    """Measure what a supervisor takes that has no controller, beside a Python that has nothing to run; so many rounds."""
    sent = supervisor()
    programs = {SUPERVISOR: (boot_code(sent), sent), BARE_PYTHON: ("pass", b"")}
    for name in rounds(count, _PATIENCE, list(programs)):
        code, text = programs[name]
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-I", "-S", "-c", code], input=text, stdout=subprocess.DEVNULL, check=False, timeout=_PATIENCE)
        after = getrusage(RUSAGE_CHILDREN)
        taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        results.add(START, name, 1, "ms", taken * 1e3)


def _taken_by(bed: Bed, contestant: Contestant, job: Job) -> float:
    """Return the seconds of processor time that all hosts take for a launch."""
    before = sum(host_cpu(host) for host in job.hosts)
    _launch_cold(bed, contestant, job)
    return sum(host_cpu(host) for host in job.hosts) - before


def host_cpu(host: Host) -> float:
    """Return the seconds of processor time that a host's sshd and its first process have reaped; no session may be open."""
    deadline = time.monotonic() + _PATIENCE
    while len(found := tree(all_processes(), [host.pid])) > _WITHOUT_SESSION:
        if time.monotonic() > deadline:
            raise ProgramFailed(f"sessions on {host.name} do not end")
        time.sleep(0.01)
    return sum(reaped_cpu(process.pid) for process in found)


def _launch_cold(bed: Bed, contestant: Contestant, job: Job) -> Usage:
    with bed.sockets() as sockets, _program(bed, contestant, job, sockets) as program:
        return _finish(program, contestant, job)


def _launch_warm(bed: Bed, contestant: Contestant, job: Job, sockets: Path) -> Usage:
    with _program(bed, contestant, job, sockets) as program:
        usage = _finish(program, contestant, job)
        if program.masters():
            raise ProgramFailed("it has opened ssh masters although there were some")
        return usage


def _open_masters(bed: Bed, job: Job, sockets: Path) -> None:
    """Let each launcher open its own masters, and keep them. Ansible's are shared by the two ways to use it."""
    for name in (PLAIN_SSH, PLAYBOOK):
        program = _program(bed, ALL[name], job, sockets)
        try:
            _finish(program, ALL[name], job)
            bed.masters |= program.masters()
        finally:
            program.end(keep_orphans=True)


def _program(bed: Bed, contestant: Contestant, job: Job, sockets: Path) -> Program:
    command = contestant.command(bed, job, sockets)
    return Program(bed.lab, command, env=bed.environment(sockets), plain_ssh=contestant.plain_ssh, keep=bed.masters)


def _finish(program: Program, contestant: Contestant, job: Job) -> Usage:
    heard, ranks = bytearray(), 0 if contestant.name in (EMPTY, ONE_TASK) else len(job.hosts)
    program.read(heard.extend, _PATIENCE)
    usage = program.wait(_PATIENCE)
    if usage.returncode or heard.count(_SAID) != ranks:
        raise ProgramFailed(f"status {usage.returncode}, {heard.count(_SAID)} of {ranks} ranks heard: {program.complaint()}")
    return usage

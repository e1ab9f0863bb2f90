# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start of a job under mpirun, to its first output, with MLX and without: ours from the controller, plain mpirun from the head node."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lab.trust import trusted

from .bed import BIN, CHECKOUT, RANKS, Bed
from .contestants import ALL, COMMAND, PLAYBOOK, Contestant, Job
from .measure import COLD, WARM, Results, rounds
from .program import Program, ProgramFailed

START, SUM = "mpirun, start to first output", "mpirun, start to first sum"
PLAIN_MPIRUN = "plain mpirun"
HOSTS = 4
_SAID = b"rank "
_SCRIPTS = {START: RANKS / "trivial.py", SUM: CHECKOUT / "examples/all_sum.py"}
_PATIENCE = 60.0
_MPIRUN = BIN / "mpirun"


def measure(bed: Bed, results: Results, count: int, seconds: float) -> None:
    """Measure so many rounds."""
    hosts = bed.lab.hosts[:HOSTS]
    jobs = {what: Job(hosts, script, backend="mpi") for what, script in _SCRIPTS.items()}
    plain = Contestant(PLAIN_MPIRUN, _plain, keeps_masters=False)
    ours = [(ALL[name], state) for name in (PLAYBOOK, COMMAND) for state in (COLD, WARM)]
    states = [(what, contestant, state) for what in _SCRIPTS for contestant, state in ((plain, COLD), *ours)]
    with trusted(hosts[0], hosts[1:]), bed.sockets() as warm:
        for host in hosts[1:]:
            hosts[0].run(["ssh", host.address, "true"], check=True)  # known from now on: a new key costs time, once
        _start(bed, ALL[PLAYBOOK], jobs[START], warm, keep=True)
        try:
            for what, contestant, state in rounds(count, seconds, states):
                with results.survive(f"{what}, {contestant.name}, {state}"), bed.sockets() as cold:
                    took = _start(bed, contestant, jobs[what], warm if state == WARM else cold)
                    results.add(what, contestant.name, HOSTS, "s", took, state=state)
        finally:
            bed.drop_masters()
    bed.clear_runs()


def _start(bed: Bed, contestant: Contestant, job: Job, sockets: Path, *, keep: bool = False) -> float:
    """Run a job; return the seconds to the first thing a rank says."""
    heard, first, begun = bytearray(), [], time.monotonic()

    def hear(data: bytes) -> None:
        heard.extend(data)
        if not first and _SAID in heard:
            first.append(time.monotonic() - begun)

    program = Program(bed.lab, contestant.command(bed, job, sockets), env=bed.environment(sockets), keep=bed.masters)
    try:
        program.read(hear, _PATIENCE)
        usage = program.wait(_PATIENCE)
        if usage.returncode or heard.count(_SAID) != len(job.hosts):
            raise ProgramFailed(f"status {usage.returncode}, {heard.count(_SAID)} of {len(job.hosts)} ranks heard: {program.complaint()}")
        if keep:
            bed.masters |= program.masters()
    finally:
        program.end(keep_orphans=keep)
    return first[0]


def _plain(_bed: Bed, job: Job, _sockets: Path) -> list[str]:
    """Run mpirun on the first host, as someone who is logged in there would."""
    enter = ["nsenter", f"--target={job.hosts[0].pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    hosts = ",".join(f"{host.address}:1" for host in job.hosts)
    options = ["--allow-run-as-root", "--output", ":raw", "--bind-to", "none", "--wdir", "/", "--host", hosts]
    options += ["-x", f"MLX_MPI_LIBNAME={BIN.parent / 'lib/libmpi.so.40'}"]
    return [*enter, "env", "HOME=/root", str(_MPIRUN), *options, str(BIN / "python"), str(job.script)]

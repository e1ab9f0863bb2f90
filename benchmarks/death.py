# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rank fails: how long until no rank is left on any host. Seen from outside, in the hosts' process tables."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, MLX_LAUNCH, PLAYBOOK, Job
from .measure import Results, await_up, rounds, started
from .processes import all_processes, arguments, tree
from .program import ProgramFailed

DEATH = "one rank dies"
HONOUR, IGNORE = "honour", "ignore"
HOSTS = 4
GRACE = 1.0
#: Seconds after which it is said that they stay.
LIMIT = 8.0
_CONTESTANTS = (MLX_LAUNCH, PLAYBOOK, COMMAND)


def measure(bed: Bed, results: Results, count: int, seconds: float) -> None:
    """Measure so many rounds of each."""
    for name, manner in rounds(count, seconds, [(name, manner) for name in _CONTESTANTS for manner in (HONOUR, IGNORE)]):
        job = Job(bed.lab.hosts[:HOSTS], RANKS / "mortal.py", (manner,), grace=GRACE)
        with results.survive(f"death, {name}, {manner}"), started(bed, ALL[name], job) as program:
            await_up(program, HOSTS)
            took = _fail_one(_rank_pids(job))
            note = "" if took < LIMIT else f"gave up after {LIMIT:.0f} s; some ranks were still there"
            results.add(DEATH, name, HOSTS, "s", took, state=manner, note=note)
        for host in job.hosts:
            host.kill_all()


def _rank_pids(job: Job) -> list[int]:
    """Return the ranks' process ids as this machine sees them, rank 0 first."""
    processes, found = all_processes(), []
    for host in job.hosts:
        ranks = [process.pid for process in tree(processes, [host.pid]) if arguments(process.pid)[1:2] == (str(job.script),)]
        if len(ranks) != 1:
            raise ProgramFailed(f"{host.name} has {len(ranks)} ranks")
        found += ranks
    return found


def _fail_one(pids: list[int]) -> float:
    """Let rank 1 exit with 1; return seconds from its end until the last of the others has ended, at most `LIMIT`."""
    with contextlib.ExitStack() as stack:
        others = {os.pidfd_open(pid) for pid in pids}
        for fd in others:
            stack.callback(os.close, fd)
        failing = os.pidfd_open(pids[1])
        stack.callback(os.close, failing)
        os.kill(pids[1], signal.SIGUSR1)
        select.select([failing], [], [], LIMIT)
        begun = time.monotonic()
        while others and time.monotonic() - begun < LIMIT:
            others -= set(select.select(list(others), [], [], LIMIT - (time.monotonic() - begun))[0])
        return min(time.monotonic() - begun, LIMIT)

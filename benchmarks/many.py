# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many ranks that cost nothing: what they take of the launcher, and how that grows with each."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab import Host

from .bed import RANKS, Bed
from .contestants import ALL, COMMAND, PLAYBOOK, Job
from .measure import Results, await_up, rounds, started
from .processes import Process, all_processes, tree
from .program import Program, ProgramFailed

WALL, WORKER, SUPERVISOR = "many ranks say a word and end", "resident memory of the worker", "resident memory of a supervisor"
MORE = "growth per rank"
_CONTESTANTS = (PLAYBOOK, COMMAND)
_PATIENCE = 240.0
_MB = 1e6


def measure(bed: Bed, results: Results, hosts: int, slots: Sequence[int], count: int, seconds: float) -> None:
    """Measure so many rounds, each with every number of ranks per host; the growth is from the least to the most."""
    machines = bed.lab.hosts[:hosts]
    for name, each in rounds(count, seconds, [(name, each) for name in _CONTESTANTS for each in slots]):
        with results.survive(f"many, {hosts * each} ranks, {name}"):
            _time(bed, results, name, machines, each)
            _weigh(bed, results, name, machines, each)
    ranks = [hosts * each for each in slots]
    for name in _CONTESTANTS:
        # A supervisor has the ranks of its host only.
        for test, unit, factor in ((WALL, "ms", 1e3), (WORKER, "kB", 1e3), (SUPERVISOR, "kB", 1e3 * hosts)):
            _grow(results, test, name, hosts, ranks, unit, factor)


def _time(bed: Bed, results: Results, name: str, hosts: Sequence[Host], slots: int) -> None:
    """Take the time from the start to the end of all."""
    job = Job(hosts, RANKS / "none", slots=slots, command=("/bin/echo", "rank here"))
    ranks, heard = len(hosts) * slots, bytearray()
    with started(bed, ALL[name], job) as program:
        program.read(heard.extend, _PATIENCE)
        usage = program.wait(_PATIENCE)
        if usage.returncode or heard.count(b"rank here\n") != ranks:
            raise ProgramFailed(f"status {usage.returncode}, {heard.count(b'rank here')} of {ranks} ranks heard: {program.complaint()}")
        results.add(WALL, name, len(hosts), "s", usage.wall, state=_state(ranks))


def _weigh(bed: Bed, results: Results, name: str, hosts: Sequence[Host], slots: int) -> None:
    """Look at memory when all ranks have spoken and none has ended."""
    job = Job(hosts, RANKS / "none", slots=slots, command=("/bin/sh", "-c", "echo up; exec sleep 300"), grace=0.5)
    with started(bed, ALL[name], job) as program:
        await_up(program, len(hosts) * slots)
        state = _state(len(hosts) * slots)
        results.add(WORKER, name, len(hosts), "MB", _largest(_workers(program)), state=state)
        results.add(SUPERVISOR, name, len(hosts), "MB", _largest(_supervisors(hosts[0])), state=state)
    for host in hosts:
        host.kill_all()


def _workers(program: Program) -> list[Process]:
    """Return the children of ansible-playbook that Ansible has forked: they have its name."""
    processes = program.tree()
    names = {process.pid: process.name for process in processes}
    return [process for process in processes if names.get(process.ppid) == process.name]


def _supervisors(host: Host) -> list[Process]:
    """Return the supervisor, and its smaller guard: the only Python on a host, but for the lab's own first process."""
    return [process for process in tree(all_processes(), [host.pid]) if process.name.startswith("python") and process.pid != host.pid]


def _largest(processes: Sequence[Process]) -> float:
    if not processes:
        raise ProgramFailed("there is no process to look at")
    return max(process.rss for process in processes) / _MB


def _grow(results: Results, test: str, name: str, hosts: int, ranks: Sequence[int], unit: str, factor: float) -> None:
    """Add what each rank more takes."""
    few, many = (results.get(test, name, hosts, _state(number)) for number in (min(ranks), max(ranks)))
    if few and many:
        growth = (many.median - few.median) / (max(ranks) - min(ranks)) * factor
        results.add(f"{test}, {MORE}", name, hosts, unit, growth, note=f"from {min(ranks)} to {max(ranks)} ranks")


def _state(ranks: int) -> str:
    return f"{ranks} ranks"

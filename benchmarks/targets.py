# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets, and whether the figures meet them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from . import death, deploy, flood, latency, launch, mpi, quiet, tokens
from .contestants import COMMAND, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK, RUN_JOB
from .measure import COLD, WARM, Results, Series

# Number of hosts to ratio to mlx.launch, which has no warm start: its one figure is what both are compared with.
_LAUNCH = {COLD: {4: 1.5, 16: 1.0, 32: 0.8}, WARM: {4: 1.0, 16: 0.6, 32: 0.4}}
_CPU_RATIO = 0.25
_MPI_RATIO = 1.3
_LATENCY_MS = {PLAYBOOK: 5.0, COMMAND: 8.0, RUN_JOB: 8.0}
_TOKEN_MS, _TOGETHER_MS = 8.0, 20.0
_QUIET_PERCENT = 1.0
_DEATH_SECONDS = {death.HONOUR: 0.3, death.IGNORE: death.GRACE + 0.5}
# Memory counts as flat up to this: allocators round, and a sample is a moment.
_FLAT_RATIO = 1.1
_DEPLOY_SECONDS = {4: 1.5, 16: 3.0}
_CHANGED_RATIO = 1.5  # to raw rsync and the start of Ansible
_FIRST_RATIO = 1.3  # to raw rsync
_SYNC_SECONDS = 0.3  # more than without


@dataclass(frozen=True)
class Verdict:
    """One target and the figure it is held against.

    Attributes:
        what: the measurement, in words.
        contestant: whose figure.
        ours: the figure, with unit.
        theirs: what it is compared with, or nothing.
        ssh: what plain ssh takes for the same, or nothing.
        ratio: ours over theirs, or None.
        target: in words.
        met: whether it is.
    """

    what: str
    contestant: str
    ours: str
    theirs: str
    ssh: str
    ratio: float | None
    target: str
    met: bool


def verdicts(results: Results) -> list[Verdict]:
    """Return every target for which there are figures."""
    return [
        *_launches(results),
        *_cpu(results),
        *_mpi(results),
        *_latencies(results),
        *_tokens(results),
        *_floods(results),
        *_memory(results),
        *_quiet(results),
        *_deaths(results),
        *_deploys(results),
        *_changed(results),
        *_first(results),
        *_synced(results),
        *_deploy_memory(results),
    ]


def figure(value: float, unit: str) -> str:
    """Return a value as a person wants to read it."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def _launches(results: Results) -> Iterator[Verdict]:
    for state, bounds in _LAUNCH.items():
        for hosts, bound in bounds.items():
            theirs = results.get(launch.WALL, MLX_LAUNCH, hosts, COLD)
            for name in (PLAYBOOK, COMMAND):
                ours = results.get(launch.WALL, name, hosts, state)
                yield from _at_most(
                    f"launch, {hosts} hosts, {state}", ours, theirs, results.get(launch.WALL, PLAIN_SSH, hosts, state), bound
                )


def _cpu(results: Results) -> Iterator[Verdict]:
    theirs = results.get(launch.CPU, MLX_LAUNCH, 32, COLD)
    for state in (COLD, WARM):
        for name in (PLAYBOOK, COMMAND):
            ours, ssh = results.get(launch.CPU, name, 32, state), results.get(launch.CPU, PLAIN_SSH, 32, state)
            yield from _at_most(f"launch, processor time, 32 hosts, {state}", ours, theirs, ssh, _CPU_RATIO)


def _latencies(results: Results) -> Iterator[Verdict]:
    for name, bound in _LATENCY_MS.items():
        ours, theirs, ssh = (results.get(latency.LATENCY, who, latency.HOSTS) for who in (name, MLX_LAUNCH, PLAIN_SSH))
        yield from _below(latency.LATENCY, ours, theirs, ssh, bound)


def _mpi(results: Results) -> Iterator[Verdict]:
    for what, state, name in product((mpi.START, mpi.SUM), (COLD, WARM), (PLAYBOOK, COMMAND)):
        theirs, ours = results.get(what, mpi.PLAIN_MPIRUN, mpi.HOSTS, COLD), results.get(what, name, mpi.HOSTS, state)
        yield from _at_most(f"{what}, {state}, against {mpi.PLAIN_MPIRUN}", ours, theirs, None, _MPI_RATIO)


def _tokens(results: Results) -> Iterator[Verdict]:
    for name in (PLAYBOOK, COMMAND, RUN_JOB):
        ours, theirs, ssh = (results.get(tokens.LATENCY, who, tokens.HOSTS) for who in (name, MLX_LAUNCH, PLAIN_SSH))
        yield from _below(f"{tokens.LATENCY}, {tokens.RATE} a second", ours, theirs, ssh, _TOKEN_MS)
        ours, theirs, ssh = (results.get(tokens.TOGETHER, who, tokens.HOSTS) for who in (name, MLX_LAUNCH, PLAIN_SSH))
        if ours:
            most, target = max(ours.values), f"<= {figure(_TOGETHER_MS, ours.unit)}, at most"
            yield Verdict(tokens.TOGETHER, name, figure(most, ours.unit), _median(theirs), _median(ssh), None, target, most <= _TOGETHER_MS)


def _floods(results: Results) -> Iterator[Verdict]:
    theirs, ssh = (results.get(flood.FLOOD, who, 1) for who in (MLX_LAUNCH, PLAIN_SSH))
    for name in (PLAYBOOK, COMMAND, RUN_JOB):
        ours = results.get(flood.FLOOD, name, 1)
        if ours and theirs:
            ratio = ours.median / theirs.median
            yield Verdict(flood.FLOOD, name, _median(ours), _median(theirs), _median(ssh), ratio, ">= 1.0x", ratio >= 1)


def _memory(results: Results) -> Iterator[Verdict]:
    for name in (PLAYBOOK, COMMAND, RUN_JOB):
        late, early = results.get(flood.MEMORY, name, 1, flood.AT_100), results.get(flood.MEMORY, name, 1, flood.AT_10)
        if late and early:
            ratio = late.median / early.median
            what = f"{flood.MEMORY}, {flood.AT_100} against {flood.AT_10}"
            target = f"<= {_FLAT_RATIO}x of {figure(early.median, early.unit)}"
            yield Verdict(what, name, _median(late), "", "", ratio, target, ratio <= _FLAT_RATIO)


def _quiet(results: Results) -> Iterator[Verdict]:
    for stdin in quiet.STDIN:
        for name in (PLAYBOOK, COMMAND):
            ours, theirs = (results.get(quiet.QUIET, who, quiet.HOSTS, f"stdin {stdin}") for who in (name, MLX_LAUNCH))
            yield from _below(f"{quiet.QUIET}, stdin {stdin}", ours, theirs, None, _QUIET_PERCENT)


def _deaths(results: Results) -> Iterator[Verdict]:
    for manner, bound in _DEATH_SECONDS.items():
        for name in (PLAYBOOK, COMMAND):
            what = f"{death.DEATH}, the others {manner} TERM" + (f", grace {death.GRACE:g} s" if manner == death.IGNORE else "")
            ours, theirs = (results.get(death.DEATH, who, death.HOSTS, manner) for who in (name, MLX_LAUNCH))
            yield from _below(what, ours, theirs, None, bound)


def _deploys(results: Results) -> Iterator[Verdict]:
    for hosts, bound in _DEPLOY_SECONDS.items():
        for state in (COLD, WARM):
            for name in (deploy.COMMAND, deploy.PLAYBOOK):
                ours = results.get(deploy.UNCHANGED, name, hosts, state)
                yield from _below(f"{deploy.UNCHANGED}, {hosts} hosts, {state}", ours, None, None, bound)


def _changed(results: Results) -> Iterator[Verdict]:
    for hosts in _DEPLOY_SECONDS:
        for state in (COLD, WARM):
            rsync, empty = (results.get(deploy.CHANGED, name, hosts, state) for name in (deploy.RSYNC, deploy.EMPTY))
            for name in (deploy.COMMAND, deploy.PLAYBOOK):
                if rsync and empty and (ours := results.get(deploy.CHANGED, name, hosts, state)):
                    base = rsync.median + empty.median
                    what, theirs = f"{deploy.CHANGED}, {hosts} hosts, {state}", f"{figure(base, 's')} rsync and empty playbook"
                    yield _ratio(what, ours, theirs, base, _CHANGED_RATIO)


def _first(results: Results) -> Iterator[Verdict]:
    for hosts in _DEPLOY_SECONDS:
        rsync = results.get(deploy.FIRST, deploy.RSYNC, hosts)
        for name in (deploy.COMMAND, deploy.PLAYBOOK):
            if rsync and (ours := results.get(deploy.FIRST, name, hosts)):
                yield _ratio(f"{deploy.FIRST}, {hosts} hosts", ours, f"{_median(rsync)} rsync", rsync.median, _FIRST_RATIO)


def _synced(results: Results) -> Iterator[Verdict]:
    for state in (COLD, WARM):
        without = results.get(deploy.RUN, deploy.NO_SYNC, deploy.RUN_HOSTS, state)
        for variant in (deploy.ALONE, deploy.PROJECT):
            ours = results.get(deploy.RUN, deploy.SYNC, deploy.RUN_HOSTS, f"{variant}, {state}")
            if ours and without:
                more = ours.median - without.median
                what, target = f"{deploy.RUN}, {variant}, {state}: {more:+.2f} s", f"<= +{_SYNC_SECONDS} s"
                yield Verdict(
                    what, ours.contestant, _median(ours), f"{_median(without)} --no-sync", "", None, target, more <= _SYNC_SECONDS
                )


def _deploy_memory(results: Results) -> Iterator[Verdict]:
    small, big = (results.get(deploy.MEMORY, deploy.COMMAND, 1, state) for state in (deploy.SMALL, deploy.BIG))
    if small and big:
        yield _ratio(f"{deploy.MEMORY}, {big.note.partition(';')[0]}", big, f"{_median(small)} small file", small.median, _FLAT_RATIO)


def _ratio(what: str, ours: Series, theirs: str, base: float, bound: float) -> Verdict:
    ratio = ours.median / base
    return Verdict(what, ours.contestant, _median(ours), theirs, "", ratio, f"<= {bound}x", ratio <= bound)


def _at_most(what: str, ours: Series | None, theirs: Series | None, ssh: Series | None, bound: float) -> Iterator[Verdict]:
    if ours and theirs:
        ratio = ours.median / theirs.median
        yield Verdict(what, ours.contestant, _median(ours), _median(theirs), _median(ssh), ratio, f"<= {bound}x", ratio <= bound)


def _below(what: str, ours: Series | None, theirs: Series | None, ssh: Series | None, bound: float) -> Iterator[Verdict]:
    if ours:
        target = f"<= {figure(bound, ours.unit)}"
        yield Verdict(what, ours.contestant, _median(ours), _median(theirs), _median(ssh), None, target, ours.median <= bound)


def _median(series: Series | None) -> str:
    return figure(series.median, series.unit) if series else ""

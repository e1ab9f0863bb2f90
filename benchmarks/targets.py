# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets, and whether the figures meet them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from . import death, deploy, flood, latency, launch, mpi, prepare, quiet, tokens
from .contestants import COMMAND, EMPTY, MLX_LAUNCH, OURS, PLAIN_SSH, PLAYBOOK, RUN_JOB
from .measure import COLD, WARM, Results, Series

# Number of hosts to ratio to the floor: an empty playbook, and plain ssh to all hosts at once.
_LAUNCH = {COLD: {4: 1.15, 16: 1.25, 32: 1.3}, WARM: {4: 1.25, 16: 1.5, 32: 1.8}}
_COMMAND_SECONDS = 0.06  # more than by ansible-playbook
_STEP = 1.25  # the cost of a host more, from 32 to 64 hosts, to that from 16 to 32
_START_RATIO = 3.0  # to a Python with nothing to run
_CPU_RATIO = 0.25
_MPI_RATIO = {COLD: 1.25, WARM: 1.15}
_LATENCY_MS = {PLAYBOOK: 5.0, COMMAND: 8.0, RUN_JOB: 8.0}
_TOKEN_MS, _TOGETHER_MS = 8.0, 20.0
_QUIET_PERCENT = 1.0
_DEATH_SECONDS = {death.HONOUR: 0.3, death.IGNORE: death.GRACE + 0.5}
# Memory counts as flat up to this: allocators round, and a sample is a moment.
_FLAT_RATIO = 1.1
_UNCHANGED_SECONDS = {4: 0.2, 16: 0.3}  # more than an empty playbook and the handshakes
_CHANGED_RATIO = 1.5  # to raw rsync and an empty playbook
_FIRST_RATIO = 1.25  # to raw rsync
_SYNC_SECONDS = 0.05  # more than without
_PREPARE_RATIO = 1.5  # to a check


@dataclass(frozen=True)
class Mark:
    """A figure that ours is compared with.

    Attributes:
        who: it belongs to.
        value: in the unit of ours.
    """

    who: str
    value: float


@dataclass(frozen=True)
class Verdict:
    """One target and the figure it is held against.

    Attributes:
        what: the measurement, in words.
        series: ours.
        value: of it; its median, if nothing else is said.
        floor: what nobody can avoid, if that is known.
        peer: what is used for the same today, if there is such a thing.
        target: in words.
        met: whether it is.
        more_is_better: whether a rate is measured.
    """

    what: str
    series: Series
    value: float
    floor: Mark | None
    peer: Mark | None
    target: str
    met: bool
    more_is_better: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What the same verdict has in another run."""
        return self.what, self.series.contestant

    @property
    def relative(self) -> float:
        """To the floor, else to the peer, else as it is: what can be compared with a run on another day."""
        mark = self.floor or self.peer
        return self.value / mark.value if mark and mark.value else self.value


def verdicts(results: Results) -> list[Verdict]:
    """Return every target for which there are figures."""
    groups = (
        *(_launches, _commands, _steps, _start, _cpu, _mpi, _latencies, _tokens, _floods, _memory, _quiet, _deaths),
        *(_unchanged, _changed, _first, _synced, _deploy_memory, _prepared),
    )
    return [verdict for group in groups for verdict in group(results)]


def figure(value: float, unit: str) -> str:
    """Return a value as a person wants to read it."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


# -- starts


def _start_floor(results: Results, hosts: int, state: str) -> Mark | None:
    return _sum(results.get(launch.WALL, EMPTY, hosts, COLD), results.get(launch.WALL, PLAIN_SSH, hosts, state))


def _launches(results: Results) -> Iterator[Verdict]:
    for state, bounds in _LAUNCH.items():
        for hosts, bound in bounds.items():
            ours = results.get(launch.WALL, PLAYBOOK, hosts, state)
            floor, peer = _start_floor(results, hosts, state), _mark(results.get(launch.WALL, MLX_LAUNCH, hosts, COLD))
            yield from _to_floor(f"launch, {hosts} hosts, {state}", ours, floor, peer, bound)


def _commands(results: Results) -> Iterator[Verdict]:
    for state, bounds in _LAUNCH.items():
        for hosts, name in product(bounds, (COMMAND, RUN_JOB)):
            playbook = results.get(launch.WALL, PLAYBOOK, hosts, state)
            ours, peer = results.get(launch.WALL, name, hosts, state), _mark(results.get(launch.WALL, MLX_LAUNCH, hosts, COLD))
            yield from _more_than(f"launch, {hosts} hosts, {state}", ours, _mark(playbook), peer, _COMMAND_SECONDS)


def _steps(results: Results) -> Iterator[Verdict]:
    """Hold the way from 32 to 64 hosts against that from 16 to 32: what grows with the square shows there."""
    for state in (COLD, WARM):
        few, some, many = (results.get(launch.WALL, PLAYBOOK, hosts, state) for hosts in (16, 32, 64))
        if few and some and many:
            bound = some.median + 2 * (some.median - few.median) * _STEP
            floor, peer = _start_floor(results, 64, state), _mark(results.get(launch.WALL, MLX_LAUNCH, 64, COLD))
            target = f"<= {figure(bound, many.unit)}, no step"
            yield Verdict(f"launch, 64 hosts, {state}", many, many.median, floor, peer, target, many.median <= bound)


def _start(results: Results) -> Iterator[Verdict]:
    floor = _mark(results.get(launch.START, launch.BARE_PYTHON, 1))
    yield from _to_floor(launch.START, results.get(launch.START, launch.SUPERVISOR, 1), floor, None, _START_RATIO)


def _cpu(results: Results) -> Iterator[Verdict]:
    peer = _mark(results.get(launch.CPU, MLX_LAUNCH, 32, COLD))
    for state, name in product((COLD, WARM), (PLAYBOOK, COMMAND)):
        ours, floor = results.get(launch.CPU, name, 32, state), _mark(results.get(launch.CPU, PLAIN_SSH, 32, state))
        yield from _to_peer(f"launch, processor time, 32 hosts, {state}", ours, floor, peer, _CPU_RATIO)


def _mpi(results: Results) -> Iterator[Verdict]:
    floor = _mark(results.get(mpi.SUM, mpi.PLAIN_MPIRUN, mpi.HOSTS, COLD))
    for (state, bound), name in product(_MPI_RATIO.items(), (PLAYBOOK, COMMAND)):
        yield from _to_floor(f"{mpi.SUM}, {state}", results.get(mpi.SUM, name, mpi.HOSTS, state), floor, None, bound)


# -- output, and quiet jobs


def _latencies(results: Results) -> Iterator[Verdict]:
    floor, peer = (_mark(results.get(latency.LATENCY, who, latency.HOSTS)) for who in (PLAIN_SSH, MLX_LAUNCH))
    for name, bound in _LATENCY_MS.items():
        yield from _below(latency.LATENCY, results.get(latency.LATENCY, name, latency.HOSTS), floor, peer, bound)


def _tokens(results: Results) -> Iterator[Verdict]:
    for name in OURS:
        floor, peer = (_mark(results.get(tokens.LATENCY, who, tokens.HOSTS)) for who in (PLAIN_SSH, MLX_LAUNCH))
        ours = results.get(tokens.LATENCY, name, tokens.HOSTS)
        yield from _below(f"{tokens.LATENCY}, {tokens.RATE} a second", ours, floor, peer, _TOKEN_MS)
        floor, peer = (_mark(results.get(tokens.TOGETHER, who, tokens.HOSTS)) for who in (PLAIN_SSH, MLX_LAUNCH))
        if ours := results.get(tokens.TOGETHER, name, tokens.HOSTS):
            most, target = max(ours.values), f"<= {figure(_TOGETHER_MS, ours.unit)}, at most"
            yield Verdict(tokens.TOGETHER, ours, most, floor, peer, target, most <= _TOGETHER_MS)


def _floods(results: Results) -> Iterator[Verdict]:
    peer = _mark(results.get(flood.FLOOD, MLX_LAUNCH, 1))
    for name in OURS:
        ours = results.get(flood.FLOOD, name, 1)
        if ours and peer:
            yield Verdict(flood.FLOOD, ours, ours.median, None, peer, ">= 1.0x of the peer", ours.median >= peer.value, more_is_better=True)


def _memory(results: Results) -> Iterator[Verdict]:
    for name in OURS:
        late, early = results.get(flood.MEMORY, name, 1, flood.AT_100), results.get(flood.MEMORY, name, 1, flood.AT_10)
        floor = Mark(flood.AT_10, early.median) if early else None
        yield from _to_floor(f"{flood.MEMORY}, {flood.AT_100}", late, floor, None, _FLAT_RATIO)


def _quiet(results: Results) -> Iterator[Verdict]:
    for stdin, name in product(quiet.STDIN, (PLAYBOOK, COMMAND)):
        ours, peer = (results.get(quiet.QUIET, who, quiet.HOSTS, f"stdin {stdin}") for who in (name, MLX_LAUNCH))
        yield from _below(f"{quiet.QUIET}, stdin {stdin}", ours, None, _mark(peer), _QUIET_PERCENT)


def _deaths(results: Results) -> Iterator[Verdict]:
    for (manner, bound), name in product(_DEATH_SECONDS.items(), (PLAYBOOK, COMMAND)):
        what = f"{death.DEATH}, the others {manner} TERM" + (f", grace {death.GRACE:g} s" if manner == death.IGNORE else "")
        ours, peer = (results.get(death.DEATH, who, death.HOSTS, manner) for who in (name, MLX_LAUNCH))
        yield from _below(what, ours, None, _mark(peer), bound)


# -- deploys


def _unchanged(results: Results) -> Iterator[Verdict]:
    for (hosts, bound), state, name in product(_UNCHANGED_SECONDS.items(), (COLD, WARM), (deploy.COMMAND, deploy.PLAYBOOK)):
        floor = _sum(results.get(deploy.UNCHANGED, EMPTY, hosts, state), results.get(deploy.UNCHANGED, PLAIN_SSH, hosts, state))
        what = f"{deploy.UNCHANGED}, {hosts} hosts, {state}"
        yield from _more_than(what, results.get(deploy.UNCHANGED, name, hosts, state), floor, None, bound)


def _changed(results: Results) -> Iterator[Verdict]:
    for hosts, state, name in product(_UNCHANGED_SECONDS, (COLD, WARM), (deploy.COMMAND, deploy.PLAYBOOK)):
        floor = _sum(results.get(deploy.UNCHANGED, EMPTY, hosts, state), results.get(deploy.CHANGED, deploy.RSYNC, hosts, state))
        what = f"{deploy.CHANGED}, {hosts} hosts, {state}"
        yield from _to_floor(what, results.get(deploy.CHANGED, name, hosts, state), floor, None, _CHANGED_RATIO)


def _first(results: Results) -> Iterator[Verdict]:
    for hosts, name in product(_UNCHANGED_SECONDS, (deploy.COMMAND, deploy.PLAYBOOK)):
        floor = _mark(results.get(deploy.FIRST, deploy.RSYNC, hosts))
        yield from _to_floor(f"{deploy.FIRST}, {hosts} hosts", results.get(deploy.FIRST, name, hosts), floor, None, _FIRST_RATIO)


def _synced(results: Results) -> Iterator[Verdict]:
    for state, variant in product((COLD, WARM), (deploy.ALONE, deploy.PROJECT)):
        without = _mark(results.get(deploy.RUN, deploy.NO_SYNC, deploy.RUN_HOSTS, state))
        ours = results.get(deploy.RUN, deploy.SYNC, deploy.RUN_HOSTS, f"{variant}, {state}")
        yield from _more_than(f"{deploy.RUN}, {variant}, {state}", ours, without, None, _SYNC_SECONDS)


def _deploy_memory(results: Results) -> Iterator[Verdict]:
    small, big = (results.get(deploy.MEMORY, deploy.COMMAND, 1, state) for state in (deploy.SMALL, deploy.BIG))
    if small and big:
        what = f"{deploy.MEMORY}, {big.note.partition(';')[0]}"
        yield from _to_floor(what, big, Mark(deploy.SMALL, small.median), None, _FLAT_RATIO)


def _prepared(results: Results) -> Iterator[Verdict]:
    for state, name in product((COLD, WARM), (prepare.COMMAND, prepare.PLAYBOOK)):
        ours, check = (results.get(prepare.NOTHING, who, prepare.HOSTS, state) for who in (name, prepare.CHECK))
        yield from _to_floor(f"{prepare.NOTHING}, {prepare.HOSTS} hosts, {state}", ours, _mark(check), None, _PREPARE_RATIO)


# -- kinds of targets


def _to_floor(what: str, ours: Series | None, floor: Mark | None, peer: Mark | None, bound: float) -> Iterator[Verdict]:
    if ours and floor:
        yield Verdict(what, ours, ours.median, floor, peer, f"<= {bound}x", ours.median <= bound * floor.value)


def _to_peer(what: str, ours: Series | None, floor: Mark | None, peer: Mark | None, bound: float) -> Iterator[Verdict]:
    if ours and peer:
        yield Verdict(what, ours, ours.median, floor, peer, f"<= {bound}x of the peer", ours.median <= bound * peer.value)


def _more_than(what: str, ours: Series | None, floor: Mark | None, peer: Mark | None, bound: float) -> Iterator[Verdict]:
    if ours and floor:
        yield Verdict(what, ours, ours.median, floor, peer, f"<= +{bound} {ours.unit}", ours.median - floor.value <= bound)


def _below(what: str, ours: Series | None, floor: Mark | None, peer: Mark | None, bound: float) -> Iterator[Verdict]:
    if ours:
        yield Verdict(what, ours, ours.median, floor, peer, f"<= {figure(bound, ours.unit)}", ours.median <= bound)


def _mark(series: Series | None) -> Mark | None:
    return Mark(series.contestant, series.median) if series else None


def _sum(*parts: Series | None) -> Mark | None:
    """Return what several things take one after the other, if all are known."""
    if not all(parts):
        return None
    known = [part for part in parts if part]
    return Mark(" and ".join(part.contestant for part in known), sum(part.median for part in known))

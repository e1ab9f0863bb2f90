# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every measurement is made of: a series of values, rounds in changing order, a run of one launcher."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from .bed import CHECKOUT, Bed
from .contestants import Contestant, Job
from .program import Program, ProgramFailed

T = TypeVar("T")

COLD, WARM = "cold", "warm"
_PATIENCE = 60.0


@dataclass
class Series:
    """Values of one thing, measured several times.

    Attributes:
        test, contestant: what, of whom.
        unit: of the values.
        hosts: how many.
        state: what else distinguishes it, such as `cold`.
        values: one per run.
        note: what a reader of the figures must know.
    """

    test: str
    contestant: str
    unit: str
    hosts: int
    state: str = ""
    values: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        """Middle value."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return all there is to keep."""
        return asdict(self)


class Results:
    """All series of a run of the benchmark, in the order in which they were begun."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.problems: list[str] = []

    def get(self, test: str, contestant: str, hosts: int, state: str = "") -> Series | None:
        """Return a series that has values, or None."""
        wanted = (test, contestant, hosts, state)
        return next((s for s in self.series if (s.test, s.contestant, s.hosts, s.state) == wanted and s.values), None)

    def add(self, test: str, contestant: str, hosts: int, unit: str, *values: float, state: str = "", note: str = "") -> None:
        """Add values to a series, which is made when it is not there."""
        series = self.get(test, contestant, hosts, state)
        if series is None:
            series = Series(test, contestant, unit, hosts, state, note=note)
            self.series.append(series)
        series.values += values

    @contextlib.contextmanager
    def survive(self, what: str) -> Iterator[None]:
        """Note a run that failed and go on: one that breaks must not hide all others."""
        try:
            yield
        except ProgramFailed as error:
            problem = f"{what}: {error}".replace(str(CHECKOUT), ".").replace(sys.prefix, "<env>")
            if problem not in self.problems:
                self.problems.append(problem)


def rounds(count: int, seconds: float, items: Sequence[T]) -> Iterator[T]:
    """Yield the items `count` times over, each time beginning with another; no new round after `seconds`."""
    begun = time.monotonic()
    for turn in range(count):
        if turn and time.monotonic() - begun > seconds:
            return
        at = turn % len(items)
        yield from [*items[at:], *items[:at]]


@contextlib.contextmanager
def started(bed: Bed, contestant: Contestant, job: Job, *, stdin: str = "pipe") -> Iterator[Program]:
    """Start a launcher without open ssh masters; whatever it leaves behind is gone afterwards."""
    with bed.sockets() as sockets:
        command = contestant.command(bed, job, sockets)
        with Program(bed.lab, command, env=bed.environment(sockets), plain_ssh=contestant.plain_ssh, stdin=stdin) as program:
            yield program
    bed.clear_runs()


def await_up(program: Program, count: int) -> None:
    """Read until this many ranks have said `up`."""
    heard = bytearray()
    program.read(heard.extend, _PATIENCE, until=lambda: heard.count(b"up\n") + heard.count(b"up\r\n") >= count)
    if heard.count(b"up") < count:
        raise ProgramFailed(f"ranks did not come up: {program.complaint() or heard[-500:].decode(errors='replace')}")

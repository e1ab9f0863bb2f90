# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command: run the measurements on one lab, print the report and keep it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab import LabError

from . import death, deploy, flood, latency, launch, many, mpi, prepare, quiet, tokens
from .bed import Bed, make_bed
from .machine import facts
from .measure import Results
from .report import Kept, as_json, markdown

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Effort:
    """How much to measure: rounds, seconds after which no new round begins, sizes.

    Attributes:
        launches, deploys: number of hosts to number of rounds.
        flood_bytes, memory_bytes: what one rank writes.
        big_file_bytes: a file that is deployed.
        quiet_seconds, tick_seconds: how long to watch.
        many_hosts: hosts with many ranks each.
        slots: ranks per host there: some, and as many as there can be.
    """

    launches: dict[int, int]
    launch_seconds: float
    rounds: int
    test_seconds: float
    flood_bytes: int
    memory_bytes: int
    quiet_seconds: float
    tick_seconds: float
    deploys: dict[int, int]
    deploy_seconds: float
    big_file_bytes: int
    many_hosts: int
    slots: tuple[int, int] = (2, 16)


FULL = Effort({4: 5, 16: 3, 32: 3, 64: 3}, 400, 3, 40, 256_000_000, 1_000_000_000, 10, 4, {4: 5, 16: 3}, 180, 500_000_000, 32)
QUICK = Effort({4: 2}, 25, 1, 10, 64_000_000, 256_000_000, 2, 2, {4: 1}, 25, 100_000_000, 4)
_SMALL_FILE = 5_000_000
_STARTS = 10  # they take no time

Test = Callable[[Bed, Results, Effort], None]
TESTS: dict[str, Test] = {
    "launch": lambda bed, results, effort: launch.measure(bed, results, effort.launches, effort.launch_seconds),
    "host": lambda bed, results, effort: launch.measure_host(bed, results, effort.rounds, effort.test_seconds),
    "start": lambda _bed, results, effort: launch.measure_start(results, _STARTS * effort.rounds),
    "mpi": lambda bed, results, effort: mpi.measure(bed, results, effort.rounds, effort.test_seconds),
    "latency": lambda bed, results, effort: latency.measure(bed, results, effort.rounds, effort.test_seconds, length=effort.tick_seconds),
    "tokens": lambda bed, results, effort: tokens.measure(bed, results, effort.rounds, effort.test_seconds, length=effort.tick_seconds),
    "many": lambda bed, results, effort: many.measure(bed, results, effort.many_hosts, effort.slots, effort.rounds, effort.test_seconds),
    "flood": lambda bed, results, effort: flood.measure_rate(bed, results, effort.rounds, effort.test_seconds, size=effort.flood_bytes),
    "memory": lambda bed, results, effort: flood.measure_memory(bed, results, size=effort.memory_bytes),
    "quiet": lambda bed, results, effort: quiet.measure(bed, results, length=effort.quiet_seconds),
    "death": lambda bed, results, effort: death.measure(bed, results, effort.rounds, effort.test_seconds),
    "deploy": lambda bed, results, effort: deploy.measure(bed, results, effort.deploys, effort.deploy_seconds),
    "first-deploy": lambda bed, results, effort: deploy.measure_first(
        bed, results, max(effort.deploys), effort.rounds, effort.deploy_seconds
    ),
    "run": lambda bed, results, effort: deploy.measure_run(bed, results, effort.deploys[deploy.RUN_HOSTS], effort.test_seconds),
    "prepare": lambda _bed, results, effort: prepare.measure(results, effort.rounds, effort.test_seconds),
    "deploy-memory": lambda bed, results, effort: deploy.measure_memory(bed, results, small=_SMALL_FILE, big=effort.big_file_bytes),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 when everything could be measured."""
    options = _parser().parse_args(argv)
    effort = QUICK if options.quick else FULL
    results = Results()
    # So that `with` takes the lab and the launchers away whoever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine, when = facts(), datetime.now(UTC)
    try:
        with make_bed(max(*effort.launches, *effort.deploys)) as bed:
            for name in options.only or TESTS:
                _run_test(name, bed, results, effort)
            results.problems += [f"left running on {host}" for host in bed.lab.leftovers()]
    except LabError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    text = markdown(machine, results, f"{when:%Y-%m-%d}", _last_kept(before=f"{when:%Y-%m-%d}"))
    print(text)
    if not options.no_save:
        _save(when, text, as_json(machine, results, f"{when:%Y-%m-%d}"))
    return 1 if results.problems else 0


def _run_test(name: str, bed: Bed, results: Results, effort: Effort) -> None:
    begun = time.monotonic()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    TESTS[name](bed, results, effort)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 hosts, fewer rounds, less data")
    parser.add_argument("--only", action="append", choices=list(TESTS), metavar="NAME", help=f"one of {', '.join(TESTS)}; repeatable")
    parser.add_argument("--no-save", action="store_true", help="do not write benchmarks/results")
    return parser


def _last_kept(before: str) -> Kept | None:
    """Return the last run that was kept before a day, None when there is none."""
    paths = sorted(path for path in RESULTS.glob("*.json") if path.stem < before)
    return Kept.from_json(paths[-1].read_text(encoding="utf-8")) if paths else None


def _save(when: datetime, text: str, document: Any) -> None:
    RESULTS.mkdir(exist_ok=True)
    for suffix, content in ((".md", text), (".json", document)):
        path = RESULTS / f"{when:%Y-%m-%d}{suffix}"
        path.write_text(content, encoding="utf-8")
    print(f"kept in benchmarks/results/{when:%Y-%m-%d}.md and .json", file=sys.stderr)

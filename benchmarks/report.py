# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as Markdown, which is also what is printed, and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from .measure import Results
from .targets import Verdict, figure, verdicts

_INTRO = """\
The ratio is to mlx.launch, both as medians, measured in turns in one run. The hosts, with their sshd, and the launchers
share this machine's cores. mlx.launch has no warm start, so a warm start too is compared with its one figure. Processor
time is that of all processes on the controller, ssh and ssh masters included. What a deploy is compared with stands
beside the figure; raw rsync goes to all hosts at once."""

_HEAD = ("", "what", "who", "median", "mlx.launch, or", "plain ssh", "ratio", "target")


def markdown(facts: Mapping[str, str], results: Results, when: str) -> str:
    """Return the report."""
    judged = verdicts(results)
    met = sum(verdict.met for verdict in judged)
    parts = [
        f"# Benchmark of {when}",
        " · ".join(f"{name} {value}" for name, value in facts.items()),
        _INTRO,
        f"## Targets: {met} of {len(judged)} met",
        _table(_HEAD, [_verdict_row(verdict) for verdict in judged]),
        "## All figures",
        _table(("what", "hosts", "who", "median", "min", "max", "n", ""), _series_rows(results)),
    ]
    if results.problems:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in results.problems)]
    return "\n\n".join(parts) + "\n"


def as_json(facts: Mapping[str, str], results: Results, when: str) -> str:
    """Return everything, values of single runs included."""
    document = {
        "date": when,
        "machine": dict(facts),
        "targets": [asdict(verdict) for verdict in verdicts(results)],
        "series": [series.to_json() for series in results.series],
        "problems": results.problems,
    }
    return json.dumps(document, indent=1) + "\n"


def _verdict_row(verdict: Verdict) -> list[str]:
    ratio = f"{verdict.ratio:.2f}x" if verdict.ratio is not None else ""
    return [
        "ok" if verdict.met else "MISSED",
        verdict.what,
        verdict.contestant,
        verdict.ours,
        verdict.theirs,
        verdict.ssh,
        ratio,
        verdict.target,
    ]


def _series_rows(results: Results) -> list[list[str]]:
    order: dict[tuple[str, int], int] = {}
    for series in results.series:
        order.setdefault((series.test, series.hosts), len(order))
    rows = []
    for series in sorted(results.series, key=lambda series: order[series.test, series.hosts]):
        values = [figure(value, series.unit) for value in (series.median, min(series.values), max(series.values))]
        what = f"{series.test}, {series.state}" if series.state else series.test
        rows.append([what, str(series.hosts), series.contestant, *values, str(len(series.values)), series.note])
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines)

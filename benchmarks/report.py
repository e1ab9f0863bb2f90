# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as Markdown, which is also what is printed, and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from .measure import Results, Series
from .targets import Mark, Verdict, figure, verdicts

_INTRO = """\
All figures are medians, measured in turns in one run. The hosts, with their sshd, and the launchers share this machine's
cores. The floor is what nobody can avoid: for a start an empty playbook, which connects to nobody, and the same script
by plain ssh to all hosts at once. The peer is what is used for the same today; mlx.launch has no warm start, so a warm
start is compared with its one figure. Processor time is that of all processes on the controller, ssh and ssh masters
included. Raw rsync goes to all hosts at once."""

_TREND = """\
The trend is the figure's change since the run of {when}, relative to the floor, else to the peer: so it counts on
another machine, too. A change within the noise, which is the spread of both runs and at least 10 %, has none."""

_HEAD = ("", "what", "who", "we", "floor", "to it", "peer", "to it", "target", "trend")
_LEAST_NOISE = 0.1


@dataclass(frozen=True)
class Kept:
    """An earlier run that was kept.

    Attributes:
        when: its date.
        verdicts: by their key, from its figures and by today's targets.
    """

    when: str
    verdicts: Mapping[tuple[str, str], Verdict]

    @classmethod
    def from_json(cls, text: str) -> Kept:
        """Return the run of which `as_json` made a document."""
        document, results = json.loads(text), Results()
        results.series = [Series(**series) for series in document["series"]]
        return cls(document["date"], {verdict.key: verdict for verdict in verdicts(results)})

    def change(self, now: Verdict) -> float | None:
        """Return by how much a figure has changed for the worse, as a fraction below 0 for the better; None within the noise."""
        then = self.verdicts.get(now.key)
        if then is None or not then.relative or now.series.unit != then.series.unit:
            return None
        change = now.relative / then.relative - 1
        noise = max(_LEAST_NOISE, _spread(now.series), _spread(then.series))
        worse = -change if now.more_is_better else change
        return worse if abs(change) > noise else None


def markdown(facts: Mapping[str, str], results: Results, when: str, kept: Kept | None = None) -> str:
    """Return the report.

    Args:
        facts: on the machine.
        results: of this run.
        when: its date.
        kept: the last run that was kept.
    """
    judged = verdicts(results)
    met = sum(verdict.met for verdict in judged)
    parts = [
        f"# Benchmark of {when}",
        " · ".join(f"{name} {value}" for name, value in facts.items()),
        _INTRO,
        *([_TREND.format(when=kept.when)] if kept else []),
        f"## Targets: {met} of {len(judged)} met",
        _table(_HEAD, [_verdict_row(verdict, kept) for verdict in judged]),
        "## All figures",
        _table(("what", "hosts", "who", "median", "min", "max", "n", ""), _series_rows(results)),
    ]
    if results.problems:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in results.problems)]
    if kept:
        parts += [f"## Worse than on {kept.when}", "\n".join(_worse(judged, kept)) or "Nothing, by more than noise."]
    return "\n\n".join(parts) + "\n"


def as_json(facts: Mapping[str, str], results: Results, when: str) -> str:
    """Return everything, values of single runs included."""
    document = {
        "date": when,
        "machine": dict(facts),
        "targets": [_verdict_data(verdict) for verdict in verdicts(results)],
        "series": [series.to_json() for series in results.series],
        "problems": results.problems,
    }
    return json.dumps(document, indent=1) + "\n"


def _verdict_data(verdict: Verdict) -> dict[str, object]:
    marks = {name: mark and asdict(mark) for name, mark in (("floor", verdict.floor), ("peer", verdict.peer))}
    ours = {"what": verdict.what, "contestant": verdict.series.contestant, "value": verdict.value, "unit": verdict.series.unit}
    return {**ours, **marks, "target": verdict.target, "met": verdict.met}


def _verdict_row(verdict: Verdict, kept: Kept | None) -> list[str]:
    change = kept.change(verdict) if kept else None
    return [
        "ok" if verdict.met else "MISSED",
        verdict.what,
        verdict.series.contestant,
        figure(verdict.value, verdict.series.unit),
        *_compared(verdict, verdict.floor),
        *_compared(verdict, verdict.peer),
        verdict.target,
        "" if change is None else f"{abs(change):.0%} {'worse' if change > 0 else 'better'}",
    ]


def _compared(verdict: Verdict, mark: Mark | None) -> list[str]:
    if not mark:
        return ["", ""]
    ratio = f"{verdict.value / mark.value:.2f}x" if mark.value else ""
    return [f"{figure(mark.value, verdict.series.unit)} {mark.who}", ratio]


def _worse(judged: Sequence[Verdict], kept: Kept) -> list[str]:
    changes = ((verdict, kept.change(verdict)) for verdict in judged)
    return [f"- {verdict.what}, {verdict.series.contestant}: {change:.0%}" for verdict, change in changes if change and change > 0]


def _spread(series: Series) -> float:
    """Return how far single values are from the median, as a fraction of it."""
    middle = series.median
    return max(abs(value - middle) for value in series.values) / middle if middle else 0.0


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

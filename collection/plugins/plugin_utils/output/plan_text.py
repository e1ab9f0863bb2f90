# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a launch as text for a person. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def render_plan(plan: Mapping[str, Any]) -> str:
    """Return the plan of a job_planned event as text, a block for each of its parts."""
    ranks = plan["ranks"]
    blocks = [
        [headline(plan)],
        _table([("rank", "host", "slot", "listens on"), *(_place(row) for row in ranks)]),
        ["hostfile", *_indented(json.dumps(host, ensure_ascii=False) for host in plan["hostfile"]["hosts"])],
        _deploy(plan["deploy"]),
        *(["file, on every host: " + name, *_indented(_lines(text))] for name, text in plan["files"].items()),
        *_environment(ranks),
        *_by_rank("command", ranks, _command),
        _mpirun(plan["mpirun"]),
        _table([(f"  {name}", text) for name, text in plan["unknown"].items()]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def headline(plan: Mapping[str, Any]) -> str:
    """Return one line: the number of ranks and hosts, and the backend."""
    hosts = len({row["host"] for row in plan["ranks"]})
    size = plan["world_size"]
    return f"{size} rank{'s' * (size > 1)} on {hosts} host{'s' * (hosts > 1)}, backend {plan['backend']}"


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    return str(row["rank"]), row["host"], f"{row['local_rank'] + 1} of {row['local_size']}", " ".join(row["listen"])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _deploy(deploy: Mapping[str, Any]) -> list[str]:
    lines = []
    for part, found in deploy.items():
        if found:
            there = f", or {found['or_at']} where every host has the same there" if found.get("or_at") else ""
            source = " with ".join([found["source"], *filter(None, [", ".join(found.get("with", []))])])
            lines.append(f"  {part} {source}, digest {found['digest'][:16]}: {found['path']}{there}")
    return ["brought to the hosts that lack it", *lines] if lines else []


def _lines(text: str) -> list[str]:
    """Return the lines of a file that holds a list, one line for each rank."""
    rows = json.loads(text)
    cells = [json.dumps(row, ensure_ascii=False) for row in rows]
    return [f"{'[' if at == 0 else ' '}{cell}{']' if at == len(cells) - 1 else ','}" for at, cell in enumerate(cells)]


def _environment(ranks: Rows) -> list[list[str]]:
    """Return a block of the variables that all ranks share, and one of each rank's own."""
    shared = {name: value for name, value in ranks[0]["env"].items() if all(row["env"].get(name) == value for row in ranks)}
    blocks = [["environment of every rank, beside what the host itself sets", *_indented(map(_assignment, shared.items()))]]
    own = [[*map(_assignment, (item for item in row["env"].items() if item[0] not in shared))] for row in ranks]
    if any(own):
        blocks.append(["environment by rank", *(f"  {row['rank']}: {' '.join(items)}" for row, items in zip(ranks, own, strict=True))])
    return blocks


def _assignment(item: tuple[str, str]) -> str:
    name, value = item
    return f"{name}={_printable(value)}"


def _printable(value: str) -> str:
    if not value.isprintable():
        return repr(value)
    return value if value.startswith("<") or value == "***" else shlex.quote(value)


def _command(row: Mapping[str, Any]) -> list[str]:
    home = ", or home where that is not there" if row["cwd_or_home"] else ""
    return [row["command"] if row["command"].isprintable() else repr(row["command"]), f"in {row['cwd']}{home}"]


def _mpirun(mpirun: Mapping[str, Any] | None) -> list[str]:
    if not mpirun:
        return []
    commands = [f"  Open MPI {series}: {' '.join(map(_printable, words))}" for series, words in mpirun["commands"].items()]
    return [f"mpirun, on the host of rank 0: {', '.join(mpirun['candidates'])}", *commands]


def _by_rank(title: str, ranks: Rows, lines: Callable[[Mapping[str, Any]], list[str]]) -> list[list[str]]:
    """Return a block for each group of ranks with the same lines."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row in ranks:
        found.setdefault(tuple(lines(row)), []).append(row["rank"])
    if len(found) == 1:
        return [[f"{title} of every rank", *_indented(next(iter(found)))]]
    return [[f"{title} of rank{'s' * (len(numbers) > 1)} {_spans(numbers)}", *_indented(text)] for text, numbers in found.items()]


def _spans(numbers: Sequence[int]) -> str:
    """Return numbers in order as text, such as 0-3, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _indented(lines: Any) -> list[str]:
    return [f"  {line}" for line in lines]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a preparation as text for a person: a row a host, and below it changes, reasons and commands. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from ..output.columns import WIDTH, columns, named, one_line, wrapped
from ..output.escape import escape
from .items import ITEMS
from .result import BY_HAND, CHANGED, FAILED, NOT_HERE, RIGHT, UNKNOWN, WOULD, ItemState, Outcome

_CELLS = {RIGHT: "ok", CHANGED: "set", WOULD: "to set", NOT_HERE: "n/a", FAILED: "fail", BY_HAND: "by hand", UNKNOWN: "?"}
_UNDONE = {**_CELLS, CHANGED: "undone", WOULD: "to undo"}
#: The states that have a line of their own below the table, in its order.
_TOLD = (FAILED, BY_HAND, UNKNOWN, CHANGED, WOULD, RIGHT, NOT_HERE)
_LABELS = {RIGHT: "note", NOT_HERE: "note", UNKNOWN: "not known"}


def render(outcome: Outcome, width: int = WIDTH) -> str:
    """Return the text; only lines with a command, which somebody copies, are wider than `width`.

    Args:
        outcome: hosts and work.
        width: columns of the terminal.
    """
    cells = _UNDONE if outcome.work.undo else _CELLS
    blocks = [_table(outcome, cells, width), _lines(outcome, cells, width), _commands(outcome, width)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _table(outcome: Outcome, cells: Mapping[str, str], width: int) -> list[str]:
    states = [{item.name: item.state for item in host.items} for host in outcome.hosts]
    items = [item for item in ITEMS if any(item.name in state for state in states)]
    if not items:
        return []
    rows = [
        (host.host, *(cells[state[item.name]] if item.name in state else "-" for item in items))
        for host, state in zip(outcome.hosts, states, strict=True)
    ]
    return columns([("host", *(item.head for item in items)), *rows], width)


def _lines(outcome: Outcome, cells: Mapping[str, str], width: int) -> list[str]:
    """Return a line for each failure, change and reason; hosts and items of which the same is to be said share one."""
    lines: list[str] = []
    for host in outcome.hosts:
        if host.failure:
            label = BY_HAND if host.having(BY_HAND) else cells[FAILED]
            lines += wrapped(f"{label}  {one_line(f'{host.host}: {host.failure}')}", width)
    for state in _TOLD:
        label = _LABELS.get(state, cells[state])
        lines += [part for line in _grouped(outcome, state) for part in wrapped(f"{label}  {one_line(line)}", width)]
    return lines


def _grouped(outcome: Outcome, state: str) -> Iterator[str]:
    hosts_with: dict[tuple[str, str], list[str]] = {}
    for host in outcome.hosts:
        for item in host.having(state):
            # Its host has a line of its own, which gives the reason.
            if not (host.failure and state in (BY_HAND, UNKNOWN)) and (state != RIGHT or item.text):
                hosts_with.setdefault((item.title, _said(item)), []).append(host.host)
    items_with: dict[tuple[str, str], list[str]] = {}
    for (title, text), hosts in hosts_with.items():
        items_with.setdefault((named(hosts), text), []).append(title)
    for (where, text), titles in items_with.items():
        yield f"{where}: {', '.join(titles)}{f': {text}' if text else ''}"


def _said(item: ItemState) -> str:
    change = f"{item.before} -> {item.after}" if item.state in (CHANGED, WOULD) and item.before != item.after else ""
    return "; ".join(part for part in (change, item.text) if part)


def _commands(outcome: Outcome, width: int) -> list[str]:
    """Return the commands that a person is to run, by host, quoted for a shell."""
    lines: list[str] = []
    for host in outcome.hosts:
        commands = [command for item in host.having(BY_HAND) for command in item.commands]
        if commands:
            lines += wrapped(one_line(f"on {host.host}, run:"), width)
            lines += [escape(f"  {shlex.join(('sudo', *command))}") for command in commands]
    return lines

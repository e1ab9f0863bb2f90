# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a check as text for a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..job.check_row import FAIL, UNKNOWN, WARN, Row
from .columns import WIDTH, wrapped
from .escape import escaped

_HEADS = {
    "reachable": "ssh",
    "host key": "key",
    "python": "python",
    "environment": "env",
    "project": "proj",
    "mlx": "mlx",
    "mlx.core": "core",
    "system": "system",
    "addresses": "addr",
    "neighbours": "ring",
    "mpirun": "mpi",
    "clock": "clock",
    "disk": "disk",
    "memory": "mem",
    "leftovers": "left",
    "root": "root",
}
_EVERY = 3  # hosts, from which on "all" is shorter than their names
_LONGEST_NAMES = 24  # characters of names to which others are aligned
_SIGNS = {FAIL: "!", WARN: "?"}
_COLOURS = {FAIL: "\033[1;31m", WARN: "\033[33m"}
_OFF = "\033[0m"


def render(rows: Sequence[Row], width: int | None = None, *, colour: bool = False) -> str:
    """Return the table, a row a host, and below it each fault or doubt once, with the hosts that have it.

    A value that fails is followed by `!`, a doubtful one by `?`. A column without a value for any host is left out.
    Columns that do not fit beside each other come below, with the hosts' names once more. Some properties have no
    column: they are told only where something is not well.

    Args:
        rows: those of all hosts.
        width: columns of the terminal; None for no terminal: then faults have a line each, however long.
        colour: use it.
    """
    rows = [Row.from_json(escaped(row.to_json())) for row in rows]
    known = [name for name in dict.fromkeys(name for row in rows for name in row.cells) if name in _HEADS]
    columns = [name for name in known if any(row.cells[name].status != UNKNOWN for row in rows)]
    room = width or WIDTH
    narrow = _needed(rows, columns, 2) > room >= _needed(rows, columns, 1)
    gap = 1 if narrow else 2
    blocks = [_block(rows, names, gap, colour) for names in _split(rows, columns, room, gap)]
    lines = [line for block in blocks for line in (*block, "")] + _notes(rows, width, colour)
    return "\n".join(lines).rstrip("\n")


def _text(row: Row, column: str) -> str:
    cell = row.cells[column]
    return cell.value + _SIGNS.get(cell.status, "")


def _size(rows: Sequence[Row], column: str) -> int:
    return max(len(_HEADS[column]), *(len(_text(row, column)) for row in rows))


def _name_size(rows: Sequence[Row]) -> int:
    return max(4, *(len(row.host) for row in rows))


def _needed(rows: Sequence[Row], columns: Sequence[str], gap: int) -> int:
    return _name_size(rows) + sum(_size(rows, column) + gap for column in columns)


def _split(rows: Sequence[Row], columns: Sequence[str], width: int, gap: int) -> list[list[str]]:
    """Return the columns in order, in as few groups as fit into the width."""
    groups: list[list[str]] = [[]]
    room = width - _name_size(rows)
    left = room
    for column in columns:
        need = _size(rows, column) + gap
        if need > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= need
    return groups


def _block(rows: Sequence[Row], columns: Sequence[str], gap: int, colour: bool) -> list[str]:
    """Return the lines of one group of columns, heads first."""
    sizes = {column: _size(rows, column) for column in columns}
    name_size = _name_size(rows)
    lines = [f"{'host':<{name_size}}" + "".join(f"{'':{gap}}{_HEADS[column]:<{sizes[column]}}" for column in columns)]
    for row in rows:
        line = f"{row.host:<{name_size}}"
        for column in columns:
            text = f"{_text(row, column):<{sizes[column]}}"
            paint = _COLOURS.get(row.cells[column].status, "") if colour else ""
            line += f"{'':{gap}}{paint}{text}{_OFF if paint else ''}"
        lines.append(line)
    return [line.rstrip() for line in lines]


def _notes(rows: Sequence[Row], width: int | None, colour: bool) -> list[str]:
    """Return the lines of the notes: failures first, then warnings, in each the hosts in order."""
    hosts_of: dict[tuple[str, str, str], list[str]] = {}
    for status in (FAIL, WARN):
        for row in rows:
            for column, cell in row.cells.items():
                for note in cell.notes if cell.status == status else ():
                    hosts_of.setdefault((status, column, note), []).append(row.host)
    if not hosts_of:
        return []
    named = {key: "all" if len(hosts) == len(rows) >= _EVERY else ", ".join(hosts) for key, hosts in hosts_of.items()}
    size = min(_LONGEST_NAMES, max(map(len, named.values())))
    columns = max(len(column) for _status, column, _note in named)
    lines = []
    for (status, column, note), hosts in named.items():
        line = f"{status}  {hosts:<{size}}  {column:<{columns}}  {note}"
        first, *more = wrapped(line, width) if width else [line]
        lines += [f"{_COLOURS[status]}{status}{_OFF}{first[len(status) :]}" if colour else first, *more]
    return lines

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the rows of a check as text for a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ._verdict import COLUMNS, FAIL, UNKNOWN, WARN, Row

WIDTH = 100
_HEADS = {
    "reachable": "ssh",
    "host key": "key",
    "environment": "env",
    "project": "proj",
    "mlx.core": "core",
    "addresses": "addr",
    "neighbours": "ring",
    "mpirun": "mpi",
    "memory": "mem",
    "leftovers": "left",
}
_SIGNS = {FAIL: "!", WARN: "?"}
_COLOURS = {FAIL: "\033[1;31m", WARN: "\033[33m"}
_OFF = "\033[0m"


def render(rows: Sequence[Row], width: int = WIDTH, *, colour: bool = False) -> str:
    """Return the table, a row a host, and below it a line for everything that is not as it should be.

    A value that fails has a `!` behind it, one that a person should look at a `?`. A column that says nothing of any
    host is left out; what does not fit beside each other comes below, with the hosts' names once more.

    Args:
        rows: of all hosts.
        width: columns of the terminal.
        colour: use it.
    """
    columns = [name for name in COLUMNS if any(row.cells[name].status != UNKNOWN for row in rows)]
    narrow = _needed(rows, columns, 2) > width >= _needed(rows, columns, 1)
    gap = 1 if narrow else 2
    blocks = [_block(rows, names, gap, colour) for names in _split(rows, columns, width, gap)]
    lines = [line for block in blocks for line in (*block, "")] + _notes(rows, colour)
    return "\n".join(lines).rstrip("\n")


def _text(row: Row, column: str) -> str:
    cell = row.cells[column]
    return cell.value + _SIGNS.get(cell.status, "")


def _head(column: str) -> str:
    return _HEADS.get(column, column)


def _size(rows: Sequence[Row], column: str) -> int:
    return max(len(_head(column)), *(len(_text(row, column)) for row in rows))


def _name_size(rows: Sequence[Row]) -> int:
    return max(4, *(len(row.host) for row in rows))


def _needed(rows: Sequence[Row], columns: Sequence[str], gap: int) -> int:
    return _name_size(rows) + sum(_size(rows, column) + gap for column in columns)


def _split(rows: Sequence[Row], columns: Sequence[str], width: int, gap: int) -> list[list[str]]:
    """Return the columns in as few groups as fit into the width, in order."""
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
    sizes = {column: _size(rows, column) for column in columns}
    name_size = _name_size(rows)
    lines = [f"{'host':<{name_size}}" + "".join(f"{'':{gap}}{_head(column):<{sizes[column]}}" for column in columns)]
    for row in rows:
        line = f"{row.host:<{name_size}}"
        for column in columns:
            text = f"{_text(row, column):<{sizes[column]}}"
            paint = _COLOURS.get(row.cells[column].status, "") if colour else ""
            line += f"{'':{gap}}{paint}{text}{_OFF if paint else ''}"
        lines.append(line)
    return [line.rstrip() for line in lines]


def _notes(rows: Sequence[Row], colour: bool) -> list[str]:
    """Return failures first, then warnings; in each, hosts in order."""
    found = [
        (status, row.host, column, note)
        for status in (FAIL, WARN)
        for row in rows
        for column, cell in row.cells.items()
        if cell.status == status
        for note in cell.notes
    ]
    if not found:
        return []
    hosts, columns = max(len(item[1]) for item in found), max(len(item[2]) for item in found)
    lines = []
    for status, host, column, note in found:
        word = f"{_COLOURS[status]}{status}{_OFF}" if colour else status
        lines.append(f"{word}  {host:<{hosts}}  {column:<{columns}}  {note}")
    return lines

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of a check's table: one host, with a cell for each of its properties. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"


@dataclass
class Cell:
    """One property of one host.

    Attributes:
        value: its value, short enough for a table.
        status: OK, WARN, FAIL, or UNKNOWN for a property that was not looked at or need not be there.
        notes: faults and their remedies, a line each.
    """

    value: str = "-"
    status: str = UNKNOWN
    notes: list[str] = field(default_factory=list)

    def note(self, status: str, text: str) -> None:
        """Add a fault or a doubt."""
        self.status = FAIL if FAIL in (self.status, status) else status
        self.notes.append(text)


@dataclass
class Row:
    """The cells of one host, by column."""

    host: str
    ranks: tuple[int, ...]
    cells: dict[str, Cell]

    @property
    def status(self) -> str:
        """The worst status of all cells."""
        found = {cell.status for cell in self.cells.values()}
        return FAIL if FAIL in found else WARN if WARN in found else OK

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        cells = {name: {"value": cell.value, "status": cell.status, "notes": list(cell.notes)} for name, cell in self.cells.items()}
        return {"host": self.host, "ranks": list(self.ranks), "status": self.status, "cells": cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """Return the row that `to_json` has made data of."""
        return cls(data["host"], tuple(data["ranks"]), {name: Cell(**cell) for name, cell in data["cells"].items()})

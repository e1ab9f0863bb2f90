# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows and lines of text that keep within the width of a terminal. Pure.

Texts of hosts are escaped here, once for all of them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .escape import escape

WIDTH = 80
_LEAST = 8  # characters that a column keeps


def columns(rows: Sequence[Sequence[str]], width: int = WIDTH) -> list[str]:
    """Return rows as lines, the first one their heads; the widest columns are cut until all fit.

    Args:
        rows: texts, of each row as many.
        width: columns of the terminal.
    """
    texts = [[one_line(text) for text in row] for row in rows]
    sizes = [max(map(len, column)) for column in zip(*texts, strict=True)]
    room = width - 2 * (len(sizes) - 1)
    while sum(sizes) > room and max(sizes) > _LEAST:
        sizes[sizes.index(max(sizes))] -= 1
    return ["  ".join(f"{_cut(text, size):<{size}}" for text, size in zip(row, sizes, strict=True)).rstrip() for row in texts]


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def one_line(text: str) -> str:
    """Return a text as one line, escaped."""
    return " ".join(escape(text).split())


def wrapped(line: str, width: int = WIDTH, indent: str = "      ") -> list[str]:
    """Return a line as several, those after the first one indented.

    Args:
        line: escaped.
        width: columns of the terminal.
        indent: of the others.
    """
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True) or [""]


def named(names: Sequence[str], most: int = 4) -> str:
    """Return names as one phrase, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

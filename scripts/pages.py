"""Pages that are made from something else: written, or compared with what they should be."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def write_or_check(pages: Mapping[Path, str], argv: Sequence[str]) -> int:
    """Write pages; with --check, compare them and write nothing.

    Args:
        pages: text by path.
        argv: words of the command line.

    Returns:
        1 if --check has found a page that is missing or another, else 0.
    """
    if list(argv) != ["--check"]:
        for path, text in pages.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(TOP)} is not what it is made from; run: make docs", file=sys.stderr)
    return int(bool(stale))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table; the first row is the head."""
    head, *body = rows
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *body))

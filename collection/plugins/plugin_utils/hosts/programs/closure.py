# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of a program for hosts: a part of module_utils and all that it imports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = "ansible_collections.mlxlaunch.cluster.plugins.module_utils"
FOLDER = Path(__file__).parents[3] / "module_utils"
_IMPORT = re.compile(rf"^([ \t]*)from {re.escape(PACKAGE)}(\.[\w.]+)? import (?:\(([\w,\s]+)\)|([\w, ]+))", re.MULTILINE)


def source(part: str) -> str:
    """Return the source of a part of module_utils, named below it and dotted."""
    return _path(part).read_text(encoding="utf-8")


def closure(main: str) -> dict[str, str]:
    """Return the sources of a part of module_utils and of all parts that it imports, by name.

    Args:
        main: its name below module_utils, dotted.
    """
    found: dict[str, str] = {}
    wanted = [main]
    while wanted:
        part = wanted.pop()
        if part not in found:
            found[part] = source(part)
            wanted += _imported(found[part])
    return found


def at_start(sources: Mapping[str, str], main: str) -> set[str]:
    """Return the names of the parts that are imported with one of them, rather than later by a function.

    Args:
        sources: of all parts, by name below module_utils.
        main: the one that is imported.
    """
    found: set[str] = set()
    wanted = [main]
    while wanted:
        part = wanted.pop()
        if part not in found and part in sources:
            found.add(part)
            wanted += _imported(sources[part], within=False)
    return found


def _imported(source: str, within: bool = True) -> list[str]:
    """Return the parts that a source imports at its top, and those that it imports within a function if these count."""
    parts = []
    for indent, package, several, one in _IMPORT.findall(source):
        if indent and not within:
            continue
        below = package.lstrip(".")
        if _path(below).is_file():
            parts.append(below)
        else:
            names = [words.split()[0] for words in (several or one).split(",") if words.strip()]
            parts += [f"{below}.{name}".lstrip(".") for name in names]
    return parts


def _path(part: str) -> Path:
    return FOLDER / (part.replace(".", "/") + ".py")


def packages(names: Iterable[str]) -> list[str]:
    """Return all packages above some modules, outermost first."""
    found: dict[str, None] = {}
    for name in names:
        words = name.split(".")[:-1]
        found |= dict.fromkeys(".".join(words[: at + 1]) for at in range(len(words)))
    return list(found)

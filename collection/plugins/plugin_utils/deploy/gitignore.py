# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patterns of a .gitignore file. Pure.

As gitignore(5) and git's wildmatch.c have it; a test compares them with git itself. Directories are asked about too, so
that an ignored one is not entered: libraries that answer for files alone miss the meaning of `*` and `!*/` together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\f\\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_NEVER = "(?!)"


@dataclass(frozen=True)
class _Pattern:
    """One line.

    Attributes:
        regex: regular expression for a path, or for its last component.
        for_name: whether it is for the last component.
        only_folders: whether it is about directories only.
        ignores: whether it ignores, or takes back an earlier pattern.
    """

    regex: str
    for_name: bool
    only_folders: bool
    ignores: bool


class Patterns:
    """The patterns of one file, the last that matches deciding."""

    def __init__(self, lines: Iterable[str]) -> None:
        patterns = [pattern for line in lines if (pattern := _parse(line))]
        self._ignores = [pattern.ignores for pattern in patterns]
        self._files = _Alternatives([(at, each) for at, each in enumerate(patterns) if not each.only_folders])
        self._folders = _Alternatives(list(enumerate(patterns)))

    def match(self, path: str, is_folder: bool) -> bool | None:
        """Return whether a path is ignored, or None when no pattern is about it.

        A path in an ignored directory is ignored, and is not asked about.

        Args:
            path: relative to the directory of the file that the patterns are from.
        """
        last = (self._folders if is_folder else self._files).last(path)
        return self._ignores[last] if last >= 0 else None


class _Alternatives:
    """Patterns as two regular expressions, which find the last that matches."""

    def __init__(self, patterns: list[tuple[int, _Pattern]]) -> None:
        self._names = _join({at: each.regex for at, each in patterns if each.for_name})
        self._paths = _join({at: each.regex for at, each in patterns if not each.for_name})

    def last(self, path: str) -> int:
        """Return the number of the last pattern that matches, or -1."""
        found = -1
        for (regex, numbers), subject in ((self._names, path[path.rfind("/") + 1 :]), (self._paths, path)):
            if match := regex.fullmatch(subject):
                found = max(found, numbers[(match.lastindex or 0) - 1])
        return found


def _join(regexes: dict[int, str]) -> tuple[re.Pattern[str], list[int]]:
    """Return one regular expression, the last alternative first, and the number that each of its groups stands for."""
    numbers = list(reversed(regexes))
    return re.compile("|".join(f"({regexes[at]})" for at in numbers) or _NEVER, re.DOTALL), numbers


def read_patterns(text: str) -> Patterns:
    """Return the patterns of a file's text, with any kind of line ends."""
    return Patterns(line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))


def _parse(line: str) -> _Pattern | None:
    if line.startswith("#"):
        return None
    line = _strip_spaces(line)
    ignores = not line.startswith("!")
    body = line if ignores else line[1:]
    if not body:
        return None
    only_folders = body.endswith("/")
    if only_folders:
        body = body[:-1]
    for_name = "/" not in body
    regex = _translate(body.removeprefix("/"))
    return _Pattern(regex, for_name, only_folders, ignores)


def _strip_spaces(line: str) -> str:
    """Return a line without the spaces at its end, of which a backslash keeps one."""
    found = re.fullmatch(r"((?:\\.|[^\\])*?) *", line, re.DOTALL)
    return found[1] if found else line


def _translate(glob: str) -> str:
    """Return the regular expression of a pattern; one that matches nothing for a pattern that is not well-formed."""
    regex, at = "", 0
    while at < len(glob):
        char = glob[at]
        if char == "*":
            piece, at = _translate_stars(glob, at)
        elif char == "[":
            piece, at = _translate_set(glob, at + 1)
        elif char == "\\":
            piece, at = (re.escape(glob[at + 1]), at + 2) if at + 1 < len(glob) else (_NEVER, at + 1)
        else:
            piece, at = ("[^/]" if char == "?" else re.escape(char)), at + 1
        regex += piece
    return regex or _NEVER


def _translate_stars(glob: str, at: int) -> tuple[str, int]:
    """Return (regular expression, position behind it) for the stars at a position."""
    end = at
    while glob[end : end + 1] == "*":
        end += 1
    alone = (at == 0 or glob[at - 1] == "/") and glob[end : end + 1] in {"", "/"}
    if end - at < 2 or not alone:
        return "[^/]*", end
    # Two stars between slashes: any number of directories, none also.
    return ("(?:.*/)?", end + 1) if end < len(glob) else (".*", end)


def _translate_set(glob: str, at: int) -> tuple[str, int]:
    """Return (regular expression, position behind it) for a set of characters; `at` is behind its bracket."""
    negated = glob[at : at + 1] in {"!", "^"} and glob[at : at + 1] != ""
    at += negated
    pieces: list[str] = []
    first = True
    while at < len(glob) and (first or glob[at] != "]"):
        first = False
        named = re.compile(r"\[:(\w*):\]").match(glob, at)
        if named:
            if named[1] not in _CLASSES:
                return _NEVER, len(glob)
            pieces.append(_CLASSES[named[1]])
            at = named.end()
            continue
        low, at = _one(glob, at)
        high = low
        if glob[at : at + 1] == "-" and glob[at + 1 : at + 2] not in {"", "]"}:
            high, at = _one(glob, at + 1)
        if low <= high:
            pieces.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(glob):
        return _NEVER, len(glob)
    inside = "".join(pieces)
    if negated:
        return (f"[^/{inside}]", at + 1)
    return (f"(?!/)[{inside}]" if inside else _NEVER, at + 1)


def _one(glob: str, at: int) -> tuple[str, int]:
    """Return (character, position behind it) within a set, where a backslash stands for the character after it."""
    if glob[at] == "\\" and at + 1 < len(glob):
        at += 1
    return glob[at], at + 1

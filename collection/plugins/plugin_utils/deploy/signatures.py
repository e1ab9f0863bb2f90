# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about files, remembered between two launches as long as a file has the same size, times and inode.

They are kept in the user's cache directory. They are never needed: a memory that is missing, broken or cannot be
written costs time only.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ..hosts.programs.user_cache import cache_file, keep

# Nanoseconds. A file changed twice within one tick of the file system's clock has the same times after both.
RACY = 2 * 10**9

Mark = tuple[int, ...]  # a file's size, mtime, inode, ctime


class Remembered:
    """One fact about each of some files.

    Args:
        owner: what the files belong to: the absolute path of a directory or script.
        fact: `hashes`, or another kind.
    """

    def __init__(self, owner: str, fact: str) -> None:
        self._file = memory_file(owner, fact)
        self._began = time.time_ns()
        self._before = _load(self._file)
        self._now: dict[str, tuple[Mark, Any]] = {}

    def all(self) -> dict[str, tuple[Mark, Any]]:
        """Return what was remembered."""
        return self._before

    def get(self, path: str, mark: Mark) -> Any:
        """Return the fact about a file that still has its mark, else None."""
        known = self._before.get(path)
        if known is None or known[0] != mark:
            return None
        self._now[path] = known
        return known[1]

    def put(self, path: str, mark: Mark, value: Any) -> None:
        """Note a fact; of a file so new that it could change unseen it is not remembered."""
        _size, mtime, _inode, ctime = mark
        if abs(self._began - mtime) > RACY and abs(self._began - ctime) > RACY:
            self._now[path] = (mark, value)

    def save(self) -> None:
        """Remember what was noted since, and nothing else."""
        if self._now != self._before:
            _save(self._file, self._now)


def memory_file(owner: str, fact: str) -> Path:
    """Return where facts of one kind are remembered."""
    return cache_file(fact, owner, ".json")


def _load(path: Path) -> dict[str, tuple[Mark, Any]]:
    try:
        data: dict[str, list[Any]] = json.loads(path.read_bytes())
        return {name: ((size, mtime, inode, ctime), value) for name, (size, mtime, inode, ctime, value) in data.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _save(path: Path, known: dict[str, tuple[Mark, Any]]) -> None:
    data = {name: [*mark, value] for name, (mark, value) in known.items()}
    keep(path, json.dumps(data, separators=(",", ":")).encode("ascii"))

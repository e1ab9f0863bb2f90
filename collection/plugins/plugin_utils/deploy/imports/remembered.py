# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The imports of files, remembered between two launches beside the hashes of projects."""

from __future__ import annotations

from pathlib import Path

from ....module_utils.shared.manifest import signature
from ..signatures import Remembered
from .statements import Import, imports_of

_LARGEST = 16 * 1024 * 1024  # bytes: no program that somebody wrote is larger


class RememberedImports:
    """Gives the imports of files below a folder; reads only those that changed since the last launch.

    Args:
        folder: absolute path.
        script: name of the script in it, to which the memory belongs.
    """

    def __init__(self, folder: str, script: str) -> None:
        self._folder = folder
        self._memory = Remembered(f"{folder}/{script}", "imports")

    def of(self, path: str) -> list[Import]:
        """Return the imports of a file; none of one that cannot be read, which the scan of the project reports."""
        full = Path(self._folder, path)
        try:
            mark = signature(full.stat())
            if (known := _imports(self._memory.get(path, mark))) is not None:
                return known
            found = imports_of(full.read_bytes()) if mark[0] <= _LARGEST else []
        except OSError:
            return []
        self._memory.put(path, mark, found)
        return found

    def save(self) -> None:
        """Remember what was read, if anything was."""
        self._memory.save()


def _imports(known: object) -> list[Import] | None:
    """Return the imports that were remembered, or None when these are none."""
    try:
        return [Import(int(level), str(module), tuple(map(str, names))) for level, module, names in known]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules beside a script that it imports, found without running anything.

Python looks for a module beside the script first. So what stands there under the name of an import is what is meant,
but for the names of modules that are built into Python.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .statements import Import

#: Gives the imports of a file, by its path below the folder.
ImportsOf = Callable[[str], Sequence[Import]]
_BINARY = (".so", ".pyd")


@dataclass
class Neighbours:
    """Modules beside a script.

    Attributes:
        files: of modules that are reached, below the script's folder.
        packages: directories with an `__init__` that are reached; of nested ones the outermost.
    """

    files: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)


def find_neighbours(folder: str, script: str, imports_of: ImportsOf) -> Neighbours:
    """Return the modules that a script imports from its own folder, directly or by way of each other.

    Args:
        folder: absolute path of the script's folder.
        script: the script's name in it.
        imports_of: gives the imports of one file of it; only files that are reached are asked for.
    """
    search = _Search(folder)
    waiting = [(script, "")]
    while waiting:
        path, package = waiting.pop()
        for one in imports_of(path):
            waiting += search.reach(one, package)
    search.found.files = sorted(set(search.found.files) - {script})
    return search.found


class _Search:
    """The modules that were found so far."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._names: dict[str, dict[str, int]] = {}
        self._binaries: dict[str, dict[str, list[str]]] = {}
        self._seen: set[str] = set()
        self.found = Neighbours()

    def reach(self, one: Import, package: str) -> Iterator[tuple[str, str]]:
        """Yield (path, package) of Python files that an import reaches for the first time.

        Args:
            one: the import.
            package: directory of the package that the importing file is in, "" for none.
        """
        if one.level:
            if not package:
                return
            parts = package.split("/")
            base = "/".join(parts[: len(parts) - one.level + 1])
            if one.level > len(parts):
                return
        else:
            base = ""
            if one.module.partition(".")[0] in sys.builtin_module_names:
                return
        yield from self._walk(base, [part for part in one.module.split(".") if part], one.names)

    def _walk(self, base: str, parts: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
        here = base
        for part in parts:
            files = self._locate(here, part)
            yield from self._take(files, here)
            child = f"{here}/{part}" if here else part
            if not self._is_folder(here, part) or any(PurePosixPath(file).parent == PurePosixPath(here or ".") for file in files):
                return
            here = child
        if not here:
            return
        for name in names:
            yield from self._take(self._locate(here, name), here)

    def _locate(self, folder: str, name: str) -> list[str]:
        """Return the files that are the module of this name in a folder: of a package those of its `__init__`."""
        inner = f"{folder}/{name}" if folder else name
        if self._is_folder(folder, name) and (found := self._named(inner, "__init__")):
            return found
        return self._named(folder, name)

    def _named(self, folder: str, name: str) -> list[str]:
        before = f"{folder}/" if folder else ""
        listed = self._list(folder)
        return [before + each for each in (f"{name}.py", *self._binaries[folder].get(name, ())) if listed.get(each) == stat.S_IFREG]

    def _take(self, files: Sequence[str], folder: str) -> Iterator[tuple[str, str]]:
        for file in files:
            if file in self._seen:
                continue
            self._seen.add(file)
            self.found.files.append(file)
            home = file.rpartition("/")[0]
            if home != folder:
                self._add_package(home)
            if file.endswith(".py"):
                yield file, home

    def _add_package(self, home: str) -> None:
        if not any(home == known or home.startswith(f"{known}/") for known in self.found.packages):
            self.found.packages.append(home)

    def _is_folder(self, folder: str, name: str) -> bool:
        return self._list(folder).get(name) == stat.S_IFDIR

    def _list(self, folder: str) -> dict[str, int]:
        """Return the kind of each name in a folder; a link counts as what it leads to."""
        if folder not in self._names:
            self._names[folder] = _kinds(f"{self._folder}/{folder}")
            self._binaries[folder] = {}
            for name in self._names[folder]:
                if name.endswith(_BINARY):
                    self._binaries[folder].setdefault(name.partition(".")[0], []).append(name)
        return self._names[folder]


def _kinds(folder: str) -> dict[str, int]:
    try:
        with os.scandir(folder) as items:
            return {item.name: _kind(item) for item in items}
    except OSError:
        return {}


def _kind(item: os.DirEntry[str]) -> int:
    """Return the kind of an item, 0 for one that cannot be looked at, as a link to itself: the others still count."""
    try:
        return stat.S_IFDIR if item.is_dir() else stat.S_IFREG if item.is_file() else 0
    except OSError:
        return 0

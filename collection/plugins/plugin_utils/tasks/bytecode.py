# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let Python load the files of this collection, and keep their bytecode.

Ansible's loader of collections compiles every file each time (seen with ansible-core 2.19 to 2.21); Python's reads the
bytecode of the time before. Only the imports of our own plugins go past Ansible's loader, not the plugins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType

_PLUGINS = __name__.rpartition(".plugin_utils.")[0]
_OURS = (f"{_PLUGINS}.plugin_utils.", f"{_PLUGINS}.module_utils.")
_finders: dict[str, FileFinder] = {}


class _Finder:
    """Finds the files below our two packages, which are directories as Python knows them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = name.rpartition(".")[0]
        if not name.startswith(_OURS) or not path:
            return None
        if package not in _finders:
            _finders[package] = FileFinder(path[0], (SourceFileLoader, [".py"]))
        return _finders[package].find_spec(name, target)


@contextmanager
def bytecode_kept() -> Iterator[None]:
    """Let Python load the files that our plugins import, while entered; leave no change, as ansible-test demands."""
    sys.meta_path.insert(0, _Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syntax trees of Python, one at a time.

Python 3.11 counts how deep it is in a tree in one place for all threads, and gives up when another thread has changed
that meanwhile: SystemError, "AST constructor recursion depth mismatch" (python/cpython#106905).
"""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def syntax_tree(source: str | bytes) -> ast.Module:
    """Return the tree of a source; raises as `ast.parse`."""
    with _ONE_AT_A_TIME:
        return ast.parse(source)

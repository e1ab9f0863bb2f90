# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The imports that a Python file states. Pure."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from ...hosts.programs.syntax import syntax_tree

_CALLS = frozenset(("import_module", "__import__"))
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
#: For a file that this Python cannot parse: the imports that stand on a line of their own.
_LINE = re.compile(r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+\(?([\w*, \t]*)|import[ \t]+([\w., \t]+))", re.MULTILINE)


class Import(NamedTuple):
    """One import.

    Attributes:
        level: leading dots of a relative import.
        module: dotted name, "" for `from . import x`.
        names: those after `import`, each perhaps a module of its own; none of `import module`.
    """

    level: int
    module: str
    names: tuple[str, ...] = ()


def imports_of(source: bytes) -> list[Import]:
    """Return the imports of a file, in functions and conditions too, but for those that only type checkers see.

    Args:
        source: its content. Of one that this Python cannot parse, the lines that look like imports count.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's own texts, such as "\d"
            tree = syntax_tree(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return list(dict.fromkeys(_from_lines(source.decode("utf-8", "replace"))))
    # Most nodes are expressions, and few files call for a module by a function.
    calls = any(name.encode() in source for name in _CALLS)
    return list(dict.fromkeys(found for node in _executed(tree, calls) for found in _imports(node)))


def _executed(tree: ast.Module, calls: bool) -> Iterator[ast.AST]:
    """Yield the statements of a tree, and calls if wanted, without the bodies of `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _type_checking(node.test):
            waiting += node.orelse
        elif calls:
            waiting += ast.iter_child_nodes(node)
        else:
            for block in _BLOCKS:
                waiting += getattr(node, block, ())


def _type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(0, alias.name)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.level, node.module or "", tuple(alias.name for alias in node.names if alias.name != "*"))
    elif isinstance(node, ast.Call) and node.args:
        called = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
        name = node.args[0]
        if called in _CALLS and isinstance(name, ast.Constant) and isinstance(name.value, str):
            module = name.value.lstrip(".")
            yield Import(len(name.value) - len(module), module)


def _from_lines(text: str) -> Iterator[Import]:
    for dots, module, names, plain in _LINE.findall(text):
        if plain:
            for name in plain.split(","):
                if words := name.split():
                    yield Import(0, words[0])
        else:
            yield Import(len(dots), module, tuple(name.split()[0] for name in names.split(",") if name.strip() not in {"", "*"}))

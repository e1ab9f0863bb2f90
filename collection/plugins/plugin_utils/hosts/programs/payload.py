# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a program as they are sent to a host: its parts as code for one version of Python, and as sources.

The code comes in two pieces: what is imported at the start, and what a function may import later.

A host that has the controller's version of Python, told by the number that marks bytecode, runs the code; to compile
the sources would take it longer than all else at its start. Any other host compiles the sources, part by part, when
they are first imported. Docstrings and comments stay here; line numbers are those of the files.

The controller keeps the bytes in the user's cache, as long as no file of module_utils is another one than it was then.
"""

from __future__ import annotations
import __future__

import ast
import hashlib
import marshal
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType

from .closure import FOLDER, PACKAGE, at_start, closure, packages
from .syntax import syntax_tree
from .user_cache import cache_file, keep, read_own

_LEVEL = 9  # of compression: the bytes are kept
_DIGEST = hashlib.sha256
# `z` has decompressed this text, and has what follows it. Format 2 of marshal is read by every Python. Nothing is thrown
# away before `main` runs, so nobody looks for garbage; and the end of the process takes all, without a tidying up.
_LOADER = """
import gc, marshal, sys, zlib
gc.disable()
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
ready = (MAGIC_NUMBER, sys.implementation.name) == {made_for!r}
def unpacked(data):
    return marshal.loads(zlib.decompress(data))
parts = unpacked(z.unused_data[:{first}] if ready else z.unused_data[{all}:])
late = [z.unused_data[{first}:{all}]] if ready else []
del z
class Parts:
    def find_spec(self, name, path=None, target=None):
        if late and name not in parts and name.startswith({package!r}):
            parts.update(unpacked(late.pop()))
        return ModuleSpec(name, self) if name in parts else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        part, file = parts[module.__name__], module.__name__.rpartition(".")[2] + ".py"
        exec(part if ready else compile(part, file, "exec", 0, True, 2), module.__dict__)
for package in {packages!r}:
    sys.modules[package] = type(sys)(package)
    sys.modules[package].__path__ = []
sys.meta_path.insert(0, Parts())
main = __import__({main!r}, fromlist=["main"]).main
getattr(gc, "freeze", int)()
gc.enable()
main()
sys.stderr.flush()
sys.modules["posix"]._exit(0)
"""


def program(main: str) -> bytes:
    """Return the bytes that are sent to a host which is to run the `main` of a part; see `bootstrap.host_command`.

    Args:
        main: its name below module_utils, dotted.
    """
    path, state = cache_file("programs", f"{FOLDER}/{main}/{sys.implementation.cache_tag}", ".bin"), _state()
    kept = read_own(path)
    digest, data = kept[: _DIGEST().digest_size], kept[_DIGEST().digest_size :]
    if not data or digest != _DIGEST(state + data).digest():
        data = build(closure(main), main)
        keep(path, _DIGEST(state + data).digest() + data)
    return data


def _state() -> bytes:
    """Return text that is another one when a program might be: of the files that make it, and of this Python."""
    files = [*FOLDER.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    marks = [(str(file), found.st_mtime_ns, found.st_size, found.st_ino) for file in sorted(files) for found in [file.stat()]]
    return repr((sys.version, MAGIC_NUMBER, marks)).encode()


def build(sources: Mapping[str, str], main: str) -> bytes:
    """Return the bytes of a program.

    Args:
        sources: of all its parts, by name below module_utils.
        main: the part whose `main` is run.
    """
    code: tuple[dict[str, CodeType], dict[str, CodeType]] = {}, {}
    first = at_start(sources, main)
    for part, text in sources.items():
        code[part not in first][f"{PACKAGE}.{part}"] = _code(part, text)
    texts = {f"{PACKAGE}.{part}": stripped(text).encode() for part, text in sources.items()}
    made, late = (zlib.compress(marshal.dumps(parts), _LEVEL) for parts in code)
    other = zlib.compress(marshal.dumps(texts, 2), _LEVEL)
    loader = _LOADER.format(
        made_for=(MAGIC_NUMBER, sys.implementation.name),
        first=len(made),
        all=len(made + late),
        packages=packages(texts),
        package=f"{PACKAGE}.",
        main=f"{PACKAGE}.{main}",
    )
    return zlib.compress(loader.encode(), _LEVEL) + made + late + other


def _code(part: str, text: str) -> CodeType:
    """Return a part as code that knows its lines, not its columns: a third of the bytes less.

    What it takes of `__future__`, which would be a file for each host to read, is a flag of the compiler.
    """
    tree = syntax_tree(text)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    for node in ast.walk(tree):
        if isinstance(node, (ast.expr, ast.stmt)):
            node.col_offset, node.end_lineno, node.end_col_offset = 0, node.lineno, 0
    code: CodeType = compile(tree, part.rpartition(".")[2] + ".py", "exec", __future__.annotations.compiler_flag, True, 2)
    return code


_COMMENT = re.compile(r"^\s*#.*$")


def stripped(text: str) -> str:
    """Return a source without docstrings and without lines that are comments; every other line keeps its number."""
    lines, within = text.splitlines(), set()
    tree = syntax_tree(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.end_lineno and node.end_lineno > node.lineno:
            within |= set(range(node.lineno, node.end_lineno))
    for number, line in enumerate(lines):
        if number not in within and _COMMENT.match(line):
            lines[number] = ""
    for node in _docstrings(tree):
        indent = lines[node.lineno - 1][: node.col_offset]
        lines[node.lineno - 1 : node.end_lineno] = [f'{indent}""', *[""] * ((node.end_lineno or 0) - node.lineno)]
    return "\n".join(lines) + "\n"


def _docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                yield first

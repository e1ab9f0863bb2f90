# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what is sent to a host and run there, made of the files in module_utils."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_PACKAGE = "ansible_collections.mlxlaunch.cluster.plugins.module_utils"
# The last one has `main`.
_SUPERVISOR = (
    *("_wire", "_lock", "_spool", "_processes", "_mpirun", "_ports", "_hostcheck", "_stdin", "_rank", "_recover"),
    *("_stand_in", "_mpi_side", "_supervisor"),
)
_AGENT = (
    *("_wire", "_processes", "_mpirun", "_ports", "_hostcheck", "_folders", "_lock", "_manifest", "_store", "_versions"),
    *("_interpreter", "_pip", "_environment", "_envcopy", "_envlock"),
    *("_machine", "_leftovers", "_neighbours", "_survey", "_hostfile_calls", "_agent", "_calls"),
)

# Where a Python may be when PATH is that of a non-interactive ssh. On a Mac without the command line tools
# /usr/bin/python3 opens a dialog, hence it comes after Homebrew's.
PYTHONS = ("/opt/homebrew/bin/python3", "/usr/local/bin/python3", "/usr/bin/python3", "python3")


@cache
def supervisor() -> bytes:
    """Return the program that runs the ranks of a host."""
    return _program(_SUPERVISOR)


@cache
def agent() -> bytes:
    """Return the program that answers calls about a host, and changes what is deployed there."""
    return _program(_AGENT)


def _program(parts: Sequence[str]) -> bytes:
    """Return one compressed source that holds the parts, compiles each when it is first imported, and runs `main` of the last."""
    folder = Path(__file__).parent.parent / "module_utils"
    sources = {f"{_PACKAGE}.{part}": (folder / f"{part}.py").read_text(encoding="utf-8") for part in parts}
    program = f"""
import sys
from _frozen_importlib import ModuleSpec
sources = {sources!r}
class Parts:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in sources else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        name = module.__name__
        exec(compile(sources[name], name.rpartition(".")[2] + ".py", "exec"), module.__dict__)
package = {_PACKAGE!r}
while package:
    sys.modules[package] = type(sys)(package)
    sys.modules[package].__path__ = []
    package = package.rpartition(".")[0]
sys.meta_path.insert(0, Parts())
__import__({f"{_PACKAGE}.{parts[-1]}"!r}, fromlist=["main"]).main()
"""
    return zlib.compress(program.encode(), 1)


def host_command(pythons: Sequence[str], program: bytes) -> str:
    """Return the shell command that starts a program on a host, whatever the login shell.

    Args:
        pythons: interpreters to try, best first; those every host may have follow.
        program: what will be sent to its standard input.
    """
    # -I and -S: nothing of the user's (PYTHONPATH, site-packages) can break it, and it starts faster.
    boot = f"import sys,zlib;exec(zlib.decompress(sys.stdin.buffer.read({len(program)})))"
    tries = [
        f"command -v {shlex.quote(python)} >/dev/null 2>&1 && exec {shlex.quote(python)} -I -S -c {shlex.quote(boot)}"
        for python in dict.fromkeys((*pythons, *PYTHONS))
    ]
    script = "; ".join(tries) + "; echo no Python 3 was found to run mlxlaunch on this host >&2; exit 127"
    return f"exec /bin/sh -c {shlex.quote(script)}"

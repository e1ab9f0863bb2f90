# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook that runs in every rank that is a Python, before its script, and has the import of MLX watched.

Staged as `sitecustomize` at the front of the rank's module path. It is gone from there before the script runs, and lets
another module of that name do its work. It costs every rank a millisecond; the rest waits in `init_guard` for MLX. It
needs no other file, and runs in every Python from 3.9 on.
"""

from __future__ import annotations

import atexit
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
at_exit = []  # what is to run when all else that wants to run at exit has run


def step_aside():
    """Leave the module path, here and for children of the rank, to another module of this name."""
    sys.path[:] = [path for path in sys.path if path != FOLDER]
    # An empty path means the current directory.
    rest = [path for path in os.environ.pop("PYTHONPATH", FOLDER).split(os.pathsep) if not path or os.path.abspath(path) != FOLDER]
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    ours = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as exc:
        if exc.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, ours)


class Start:
    """Finds `mlx.core` as others do, and has it watched when it is loaded; some only ask whether it is there.

    Args:
        backend: what the job was launched with.
        world_size: how many ranks it has.
    """

    def __init__(self, backend, world_size):
        self._job = (backend, world_size)

    def find_spec(self, name, path=None, target=None):
        if name != "mlx.core":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec:
            with open(os.path.join(FOLDER, "watch.py"), encoding="utf-8") as source:
                watch = {"__name__": "mlxlaunch_watch"}
                exec(compile(source.read(), "mlxlaunch_watch.py", "exec"), watch)  # noqa: S102 - written beside this one
            watch["hook"](spec.loader, at_exit, *self._job)
        return spec


def main(backend, world_size):
    """Watch the script's use of MLX."""
    sys.meta_path.insert(0, Start(backend, world_size))
    atexit.register(lambda: [function() for function in at_exit])
    step_aside()  # last: the other module may fail, and may import MLX

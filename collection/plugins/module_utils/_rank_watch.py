# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs in a rank when it imports MLX: what a script and MLX do must not go unnoticed.

A backend that does not come up is no error to MLX: each rank then works alone and says "0 of 1". And under MPI a rank that
fails waits at its exit for the others, which wait for it. It needs no other file; see `_rank_start.py`.
"""

from __future__ import annotations

import os
import sys


def hook(loader, at_exit, backend, world_size):
    """Have the module that a loader makes watched: its `distributed.init`.

    Args:
        loader: of `mlx.core`.
        at_exit: list of functions that run at exit, after all others.
        backend: what the job was launched with.
        world_size: how many ranks it has.
    """
    execute = loader.exec_module
    exits = Exits() if backend == "mpi" else None
    if exits:
        at_exit.append(exits.look)

    def exec_module(module):
        execute(module)
        distributed = module.distributed
        distributed.init = watched(distributed, distributed.init, backend, world_size, exits)

    loader.exec_module = exec_module


def watched(distributed, init, backend, world_size, exits):
    """Return `init` that raises RuntimeError for a world of one."""

    def watched_init(*args, **kwargs):
        group = init(*args, **kwargs)
        if group.size() == 1:
            wanted = kwargs.get("backend", args[1] if len(args) > 1 else "any")
            raise RuntimeError(
                "this job has %d ranks, and rank %s found itself in a world of 1: %s"
                % (world_size, os.environ.get("MLX_RANK", "?"), explain(distributed, backend, wanted))
            )
        if exits:
            exits.begin()
        return group

    watched_init.__name__, watched_init.__doc__ = "init", init.__doc__
    return watched_init


def explain(distributed, backend, wanted):
    """Return why a backend did not come up, as far as it can be told."""
    if wanted not in ("any", backend):
        return "the script asks for backend %s; launch it with --backend %s" % (wanted, wanted)
    why = "a variable that the launch has set is gone, or was changed by the program"
    if not available(distributed, backend):
        why = "this MLX does not have it, or cannot load it"
        if backend == "mpi":
            why += " (MLX_MPI_LIBNAME: %s)" % os.environ.get("MLX_MPI_LIBNAME", "not set")
    elif backend == "ring" and not os.path.exists(os.environ.get("MLX_HOSTFILE", "")):
        why = "MLX_HOSTFILE is gone, or was changed by the program"
    return "backend %s did not come up: %s" % (backend, why)


def available(distributed, backend):
    """Return whether this MLX has a backend; True where it cannot be asked."""
    try:
        return distributed.is_available(backend)
    except Exception:  # noqa: BLE001 - older versions know neither the function nor its argument
        return True


class Exits:
    """Has a rank that fails end at once, with its status, once MPI is up.

    MPI_Finalize, which MLX calls at exit, waits for all ranks: one that fails would wait for those that wait for it.
    A `sys.exit` that someone catches is told from one that ends the program by this: the main module goes on after it.
    """

    def __init__(self):
        self._last = None  # what sys.exit raised
        self._from = (None, 0)  # where the main module was then: frame and line
        self._begun = False
        self._exit, sys.exit = sys.exit, self._remember

    def _remember(self, status=None, /):
        try:
            self._exit(status)
        except SystemExit as exc:
            self._last, self._from = exc, place_in_main(sys._getframe(1))
            raise

    def begin(self):
        """MPI is up."""
        if self._begun or sys.flags.inspect:
            return
        self._begun = True
        before = sys.excepthook

        def excepthook(kind, value, traceback):
            before(kind, value, traceback)
            import atexit

            atexit._run_exitfuncs()
            leave(130 if issubclass(kind, KeyboardInterrupt) else 1)

        sys.excepthook = excepthook

    def look(self):
        """The program ends: leave when it does by a `sys.exit` that is a failure."""
        frame, line = self._from
        if self._begun and frame and frame.f_lineno == line and status_of(self._last):
            if not isinstance(self._last.code, int):
                sys.stderr.write("%s\n" % (self._last.code,))
            leave(status_of(self._last))


def place_in_main(frame):
    """Return the main module's frame below this one, and its line; (None, 0) on another thread."""
    main = sys.modules["__main__"].__dict__
    while frame and not (frame.f_globals is main and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return (frame, frame.f_lineno) if frame else (None, 0)


def status_of(exc):
    """Return the exit status a SystemExit stands for; a text, which Python prints, stands for 1."""
    if exc.code is None or isinstance(exc.code, int):
        return (exc.code or 0) & 255
    return 1


def leave(status):
    """End this process with nothing more than what it has printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(status)

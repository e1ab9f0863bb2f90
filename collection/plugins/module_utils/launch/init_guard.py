# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over MLX in a rank: a world that silently became one rank must not go unnoticed.

A backend that does not come up is no error to MLX: each rank then works alone and says "0 of 1". And under MPI a rank
that fails waits at its exit for the others, which wait for it. It needs no other file; see `sitecustomize_hook`.
"""

from __future__ import annotations

import builtins
import opcode
import os
import sys

_TOOL = 4  # of sys.monitoring; 0 to 2 and 5 are those of debuggers and profilers


def hook(loader, at_exit, backend, world_size):
    """Have the module that a loader makes watched: its `distributed.init`.

    Args:
        loader: of `mlx.core`.
        at_exit: list of functions that run at exit, after all others.
        backend: what the job was launched with.
        world_size: how many ranks it has.
    """
    execute = loader.exec_module

    def exec_module(module):
        execute(module)
        exits = Exits() if backend == "mpi" else None
        if exits:
            at_exit.append(exits.look)
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
    Python tells nobody which SystemExit ends a program. From 3.12 on it tells what leaves the main module; before, only
    what `sys.exit` and `exit` have raised is known, and `raise SystemExit(1)` is not noticed.
    """

    def __init__(self):
        self._status = 0  # that of the SystemExit that has left the main module, or may have
        self._main = None  # the main module's frame then
        self._begun = False
        if not self._monitor():
            sys.exit = self._remember
            type(builtins.exit).__call__ = lambda _self, code=None: self._remember(code)

    def _monitor(self):
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None or monitoring.get_tool(_TOOL):
            return False
        monitoring.use_tool_id(_TOOL, "mlxlaunch")
        monitoring.register_callback(_TOOL, monitoring.events.PY_UNWIND, self._unwound)
        monitoring.set_events(_TOOL, monitoring.events.PY_UNWIND)
        return True

    def _unwound(self, code, _offset, exc):
        if code.co_name == "<module>" and isinstance(exc, SystemExit):
            frame = sys._getframe(1)
            if frame is main_frame(frame):
                self._status, self._main = status_of(exc), frame

    def _remember(self, status=None, /):
        exc = SystemExit(status)
        self._status, self._main = status_of(exc), main_frame(sys._getframe(1))
        raise exc

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
        """The program ends: leave when it does by a SystemExit that is a failure. Python has printed its text."""
        main, self._main = self._main, None  # what it refers to is to end as always
        if self._begun and self._status and main and ended_by_exception(main):
            leave(self._status)


def main_frame(frame):
    """Return the main module's frame below this one; None on another thread."""
    main, found = sys.modules["__main__"].__dict__, None
    while frame:
        if frame.f_globals is main and frame.f_code.co_name == "<module>":
            found = frame  # what it executes by exec() looks the same
        frame = frame.f_back
    return found


def ended_by_exception(frame):
    """Return whether a frame that has ended did not return, by the last instruction that it executed."""
    return not opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN_")


def status_of(exc):
    """Return the exit status a SystemExit stands for; a text, which Python prints, stands for 1."""
    if exc.code is None or isinstance(exc.code, int):
        return (exc.code or 0) & 255
    return 1


def leave(status):
    """End this process without any more output."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(status)

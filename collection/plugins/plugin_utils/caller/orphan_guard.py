# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of ansible-playbook, as its worker notices it: the worker has a session of its own and would outlive it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import selectors
import sys
import threading
from collections.abc import Iterator

_EVERY = 0.2  # seconds between looks at the parent where the system cannot watch it


def parent_of_worker() -> int:
    """Return the process id of the parent that this process began with; it may have ended since."""
    began = multiprocessing.parent_process()
    return began.pid if began and began.pid else os.getppid()


@contextlib.contextmanager
def end_of_parent(parent: int) -> Iterator[int]:
    """Provide a descriptor that is readable once `parent` has ended.

    Args:
        parent: the process id of this process's parent, as it was when the work began.
    """
    with contextlib.ExitStack() as stack:
        try:
            fd = (_pidfd if sys.platform == "linux" else _kqueue)(parent, stack)
        except (OSError, AttributeError):  # it has ended, the kernel is old, or this Python was built on an old one
            fd = -1
        if fd < 0 or os.getppid() != parent:  # the id may be another process's by now
            fd = _polled(parent, stack)
        yield fd


def _pidfd(pid: int, stack: contextlib.ExitStack) -> int:
    """Return a descriptor that is readable once a process has ended: pidfd_open(2)."""
    fd = os.pidfd_open(pid)
    stack.callback(os.close, fd)
    return fd


def _kqueue(pid: int, stack: contextlib.ExitStack) -> int:
    """Return a descriptor that is readable once a process has ended: kqueue(2)."""
    queue = select.kqueue()  # type: ignore[attr-defined]
    stack.callback(queue.close)
    event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)  # type: ignore[attr-defined]
    queue.control([event], 0)
    return int(queue.fileno())


def _polled(parent: int, stack: contextlib.ExitStack) -> int:
    """Return the reading end of a pipe that a thread closes when this process has another parent."""
    read, write = os.pipe()
    over = threading.Event()

    def poll() -> None:
        while os.getppid() == parent and not over.wait(_EVERY):
            pass
        os.close(write)

    thread = threading.Thread(target=poll, name="mlxlaunch-parent", daemon=True)
    stack.callback(os.close, read)
    stack.callback(thread.join)
    stack.callback(over.set)
    thread.start()
    return read


def leave_when_orphaned(parent: int) -> None:
    """End this process as soon as its parent is another than `parent`.

    Call it when the job is over. Handing over the result, a worker can wait for ever for a lock that
    ansible-playbook held when it was killed (seen with ansible-core 2.19: SimpleQueue.put).
    """
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_leave_after, args=(parent,), name="mlxlaunch-orphan", daemon=True).start()


def _leave_after(parent: int) -> None:
    with end_of_parent(parent) as fd, selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        selector.select()
        os._exit(1)

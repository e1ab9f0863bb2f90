# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads, locks and queues, from the parts of `threading` and `queue` that are written in C.

The rest imports `functools` and `collections`, half of what an agent would load of the standard library.
"""

from __future__ import annotations

import _thread

try:
    from _queue import SimpleQueue
except ImportError:  # a Python other than CPython
    from queue import SimpleQueue

__all__ = ["SimpleQueue", "current_thread", "make_lock", "start"]

make_lock = _thread.allocate_lock
current_thread = _thread.get_ident


def start(function):
    """Start a function in a thread of its own, which nobody waits for: it ends with the process."""
    _thread.start_new_thread(function, ())

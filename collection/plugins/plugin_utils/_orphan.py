# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: a worker must not outlive ansible-playbook once its job is over."""

from __future__ import annotations

import os
import threading
import time

_EVERY = 0.2  # seconds


def leave_when_orphaned(parent: int) -> None:
    """End this process as soon as its parent is another than `parent`.

    Call it when the job is over. Handing over the result, a worker can wait for ever for a lock that
    ansible-playbook held when it was killed (seen with ansible-core 2.19: SimpleQueue.put).
    """
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), name="mlxlaunch-orphan", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os._exit(1)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of the processes below ranks, where orphans do not become children of the supervisor (macOS).

There a process that leaves group and session belongs to nobody, and some programs show no environment. It is known all
the same once a snapshot has seen it below a rank.
"""

from __future__ import annotations

import os
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import descendants
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting

INTERVAL = 5.0  # seconds; see docs/failures.md


class Snapshots:
    """Snapshots of this host's processes, each by a ps that nobody waits for.

    Args:
        selector: each descriptor in it has as its data the function to call when it is ready.
        groups: process ids of the ranks; may change meanwhile.
        on_taken: called after each snapshot with the processes of the job.
        clock: returns monotonic seconds.

    Attributes:
        known: the living processes that belong to the job, as {pid: when they were started}.
    """

    def __init__(self, selector, groups, on_taken, clock=time.monotonic):
        self._selector = selector
        self._groups = groups
        self._on_taken = on_taken
        self._clock = clock
        self._due = clock()
        self.known = {}

    def deadline(self):
        """Return the time of the next snapshot, None while one is being taken."""
        return self._due

    def on_time(self, now):
        """Begin a snapshot if it is time."""
        if self._due is not None and now >= self._due:
            self._due = None
            self._begin()

    def _begin(self):
        read, write = os.pipe()
        try:
            os.posix_spawn(ps.BRIEF[0], ps.BRIEF, ps.ENVIRONMENT, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
        except OSError:
            pass  # the end of the pipe tells; the next snapshot may work
        finally:
            os.close(write)
        os.set_blocking(read, False)
        listing = bytearray()
        self._selector.register(read, selecting.EVENT_READ, lambda: self._read(read, listing))

    def _read(self, fd, listing):
        data = os.read(fd, 262144)
        listing += data
        if not data:
            self._selector.unregister(fd)
            os.close(fd)
            self._due = self._clock() + INTERVAL
            self._take(ps.parse(bytes(listing))[0])

    def _take(self, table):
        roots = {pid for pid, start in self.known.items() if pid in table and table[pid].start == start}
        found = descendants(table, roots | set(self._groups))
        self.known = {pid: table[pid].start for pid in found}
        self._on_taken(self.known)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranks of a host as processes: started once, found by process id, guarded by process group."""

from __future__ import annotations

import os
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import Ender, end_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK


class RankGroup:
    """The ranks that a host has staged and started.

    Args:
        clock: returns monotonic seconds.
        wait: returns (process id, status) of a child that has ended, (0, 0) when none has, as os.waitpid does;
            raises ChildProcessError when there is no child.
        root: process whose descendants all belong to the job, 0 for none.

    Attributes:
        started: the ranks that were started, or that could not be, by number.
        groups: process groups that may have a living process.
    """

    def __init__(self, clock=time.monotonic, wait=lambda: os.waitpid(-1, os.WNOHANG), root=0):
        self._clock = clock
        self._wait = wait
        self._root = root
        self._staged = []
        self._mark = self._cwd = ""
        self._guard = None
        self._began = 0.0
        self._known = {}
        self.started = {}
        self.groups = set()

    def stage(self, ranks, mark, cwd):
        """Take the ranks of this host.

        Args:
            ranks: a `RankProcess` for each.
            mark: value of `MARK` in their environment.
            cwd: their working directory.
        """
        self._staged, self._mark, self._cwd = ranks, mark, cwd

    def begin(self, guard):
        """Start the clock of the job; the guard is told of its ranks."""
        self._began = self._clock()
        self._guard = guard

    @property
    def guarded(self):
        """Whether the job has begun here."""
        return self._guard is not None

    @property
    def seconds(self):
        """Seconds since the job began here."""
        return self._clock() - self._began

    def find(self, number):
        """Return the rank of this host that has a number; None when it is elsewhere."""
        return next((rank for rank in self._staged if rank.rank == number), None)

    def all_ended(self):
        """Return whether all ranks of this host were started and have ended."""
        return len(self.started) == len(self._staged) and all(rank.ended for rank in self.started.values())

    @property
    def dying(self):
        """Whether a rank was started whose exit is not known yet."""
        return any(not rank.ended for rank in self.started.values())

    def start(self, rank, environment, affinity=()):
        """Start a rank; raise OSError when that fails.

        Args:
            rank: one of the staged.
            environment: variables on which its own are put.
            affinity: processors to which mpirun has bound it.
        """
        self.started[rank.rank] = rank
        environment[MARK] = self._mark
        rank.start(self._cwd, environment, affinity)
        self.groups.add(rank.pid)
        self._guard.add(rank.pid)

    def reap(self, is_other):
        """Return the ranks that have ended since the last call: [(rank, exit code, negative for a signal)].

        Args:
            is_other: called with (process id, exit code) of each child; returns whether it is no rank but mpirun's.
        """
        ended, reaped = [], False
        for pid, code in self._children():
            if is_other(pid, code):
                continue
            reaped = True
            rank = next((rank for rank in self.started.values() if rank.pid == pid and not rank.ended), None)
            if rank:
                ended.append((rank, code))
        if reaped:
            self.forget_empty_groups()
        return ended

    def _children(self):
        while True:
            try:
                pid, status = self._wait()
            except ChildProcessError:
                return
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)

    def forget_empty_groups(self):
        """Forget groups without processes: their numbers may become strangers', who must not be signalled."""
        for group in list(self.groups):
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                self.groups.discard(group)
                self._guard.remove(group)
            except OSError:
                pass  # another user's, as after sudo in a rank

    def take_snapshots(self, selector):
        """Return the snapshots of the processes below the ranks, for a system on which orphans go elsewhere."""
        # Late: only that system needs them.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.snapshots import Snapshots

        return Snapshots(selector, self.groups, self._know)

    def _know(self, processes):
        self._known = processes
        self.forget_empty_groups()
        self._guard.know(processes)

    def ender(self, grace, now, patience):
        """Return the `Ender` of all processes of the job but mpirun's; the guard is none of them."""
        return Ender(self._mark, self.groups, grace, now, self._root, self._known, patience, self._spared)

    def end(self, grace):
        """End all processes of the job, also mpirun's, and wait for that."""
        end_all(self._mark, self.groups, grace, self._root, self._known, self._spared)

    @property
    def _spared(self):
        return self._guard.processes if self._guard else ()

    def forget(self):
        """Remove the files of all streams."""
        for rank in self.started.values():
            rank.forget()

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a job on this host: find every one, and end it.

A process belongs to a job when it is in the session of a rank, when its environment carries the job's mark, which
children inherit, or when it descends from the supervisor. On Linux orphans become children of the supervisor, or of
the guard, so a grandchild that left group and session and has overwritten its environment is found as well. Elsewhere
those are found that a snapshot has seen below a rank.
"""

from __future__ import annotations

import os
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process_table import take_table
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def prepare_adoption():
    """Load what `adopt_orphans` needs, once for this process and those that it forks: that is slow."""
    if sys.platform == "linux":
        try:
            import _ctypes  # noqa: F401
        except ImportError:
            pass  # a Python other than CPython


def adopt_orphans():
    """Become the parent of orphans among this process's descendants, where the system has that."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _prctl(*numbers):
    """Call prctl(2), which Python has no function for."""
    try:
        import _ctypes  # the part of ctypes that is needed, in a third of its time

        call, function = _ctypes.call_cdeclfunction, _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")
    except (ImportError, AttributeError):  # a Python other than CPython
        import ctypes

        ctypes.CDLL(None).prctl(*numbers)
    else:
        call(function, numbers)


def job_processes(job, groups, root=0, known=None, spared=()):
    """Return {pid: command name} of the living processes of a job, each after its parent.

    Args:
        job: the job's id, the value of the variable `MARK` in its processes' environment.
        groups: process groups of its ranks, whose leaders' process ids they are.
        root: process whose descendants belong to the job, but for those of its mpirun; 0 for none.
        known: processes that were seen to belong to it, as {pid: when they were started}.
        spared: process ids below the root that do not belong to it, with all below them.
    """
    table, mark_of = take_table()
    found = _in_groups(table, groups) | _known(table, known or {})
    marks = {pid: mark_of(pid) for pid in table if pid not in found}
    found |= {pid for pid, mark in marks.items() if mark == job}
    carriers = {pid for pid, mark in marks.items() if mark == mpi_mark(job)}
    found |= descendants(table, found | {root} - {0}, carriers | set(spared))
    return {pid: table[pid].name for pid in sorted(found - {os.getpid(), root}, key=lambda pid: _depth(table, pid))}


def _depth(table, pid):
    """Return the number of processes above one, within reason: process ids may have been given again meanwhile."""
    depth = 0
    while pid in table and depth < len(table):
        pid, depth = table[pid].parent, depth + 1
    return depth


def _in_groups(table, groups):
    # A group's number may be a stranger's now: he is in a session of his own.
    own = table[os.getpid()].session if os.getpid() in table else 0
    return {pid for pid, one in table.items() if one.session in groups or (one.group in groups and one.session == own)}


def _known(table, known):
    return {pid for pid, start in known.items() if pid in table and table[pid].start == start}


def descendants(table, roots, without=()):
    """Return the processes below some others, these included if they are alive.

    Args:
        table: the processes, as {pid: Process}.
        roots: process ids.
        without: process ids that are left out, with all below them.
    """
    children = {}
    for pid, one in table.items():
        children.setdefault(one.parent, []).append(pid)
    found, waiting = set(), [root for root in roots if root not in without]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += [child for child in children.get(pid, ()) if child not in without]
    return found & set(table)


class Ender:
    """End a job's processes: TERM, time to comply, KILL, and look until none is left. No waiting in here.

    Args:
        job: the job's id.
        groups: process groups of its ranks; may grow while this works.
        grace: seconds between TERM and KILL; 0 kills at once.
        now: monotonic seconds.
        root, known, spared: as for `job_processes`; what is spared may change while this works.
        patience: seconds in which processes may end by themselves before TERM, unseen.
    """

    GIVE_UP = 10.0  # seconds after KILL; a process in uninterruptible sleep may take for ever
    LOOKS = 8  # of patience, at least: on a busy machine its seconds may pass while neither this nor those get to run

    def __init__(self, job, groups, grace, now, root=0, known=None, patience=0.0, spared=()):
        self._find = lambda: job_processes(job, groups, root, known, spared)
        self._termed = set()
        self._grace = grace
        self._term_at = now + patience
        self._kill_at = float("inf") if patience else now + grace
        self._looks_left = self.LOOKS if patience else 0
        self._pause = 0.005
        self.next_look = now
        self.remaining = {}
        self.seen = {}

    def hurry(self, now):
        """Kill at the next look."""
        self._kill_at = min(self._kill_at, now)
        self.next_look = now

    def look(self, now):
        """Signal the processes that are there; return True when none is, or none can be ended (see `remaining`)."""
        self.remaining = self._find()
        if not self.remaining or now > self._kill_at + self.GIVE_UP:
            return True
        due = now >= self._term_at and self._looks_left <= 0
        self._looks_left -= 1
        if due:
            self._kill_at = min(self._kill_at, now + self._grace)
        if due or now >= self._kill_at:
            self.seen.update(self.remaining)
        if now >= self._kill_at:
            self._signal(self.remaining, signal.SIGKILL)
        elif due:
            # SIGCONT too: one that is stopped gets its SIGTERM only when it goes on. Parents come first: a program whose
            # child is gone before it hears of the end takes that for a failure, or ends, and does not come to its handler.
            new = [pid for pid in self.remaining if pid not in self._termed]
            for number in (signal.SIGTERM, signal.SIGCONT):
                self._signal(new, number)
            self._termed |= set(self.remaining)
        self._pause = min(self._pause * 1.5, 0.1)
        self.next_look = min(now + self._pause, self._kill_at) if now < self._kill_at else now + self._pause
        return False

    def postpone(self, now):
        """Look once more in a moment; return False when that has lasted too long."""
        self.next_look = now + self._pause
        return now <= self._kill_at + self.GIVE_UP

    def _signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except OSError:
                pass  # gone, or another user's; the next look tells


def mpi_mark(mark):
    """Return the mark of mpirun and its daemons, which end after the ranks whose mark is `mark`."""
    return mark + ".mpi"


def end_all(mark, groups, grace, root=0, known=None, spared=()):
    """End a job's ranks, then mpirun and its daemons, and wait; return {process id: name} of those that remain."""
    return dict(_end(mark, groups, grace, root, known, spared), **_end(mpi_mark(mark), set(), 0, root, None, spared))


def _end(mark, groups, grace, root, known, spared):
    ender = Ender(mark, groups, grace, time.monotonic(), root, known, spared=spared)
    while not ender.look(time.monotonic()):
        time.sleep(max(0.0, ender.next_look - time.monotonic()))
    return ender.remaining

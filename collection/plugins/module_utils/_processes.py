# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: find every process of a job, and end it.

A process belongs to a job when it is in the process group of a rank, or when its environment carries the
job's mark, which children inherit. So a grandchild that left the group is found as well.
"""

from __future__ import annotations

import os
import signal
import sys
import time

MARK = "MLXLAUNCH_JOB"


def job_processes(job, groups):
    """Return {pid: command name} of the living processes of a job.

    Args:
        job: the job's id, the value of the variable `MARK` in its processes' environment.
        groups: process groups of its ranks.
    """
    found = _from_ps(job, groups) if sys.platform == "darwin" else _from_proc(job, groups)
    found.pop(os.getpid(), None)
    return found


def _from_proc(job, groups):
    mark = b"\0%s=%s\0" % (MARK.encode(), job.encode())
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            name, state, group = parse_stat(_read("/proc/%s/stat" % entry))
            if state not in ("Z", "X") and (group in groups or mark in b"\0" + _read("/proc/%s/environ" % entry)):
                found[int(entry)] = name
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return found


def _read(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while True:
            chunk = os.read(fd, 65536)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    finally:
        os.close(fd)


def parse_stat(stat):
    """Return (command name, state, process group) from the text of /proc/PID/stat, see proc(5)."""
    before, _paren, after = stat.rpartition(b")")
    fields = after.split()
    return before.partition(b"(")[2].decode("utf-8", "replace"), fields[0].decode(), int(fields[2])


def _from_ps(job, groups):
    import subprocess  # only where there is no /proc: it is slow to import

    # -E shows the environment of one's own processes after their command, see ps(1) of macOS.
    listing = subprocess.run(["/bin/ps", "-axwwE", "-o", "pid=,pgid=,stat=,command="], stdout=subprocess.PIPE, check=False)
    return parse_ps(listing.stdout.decode("utf-8", "replace"), job, groups)


def parse_ps(listing, job, groups):
    """Return {pid: command name} from `ps -o pid=,pgid=,stat=,command=` with environments shown."""
    mark = "%s=%s" % (MARK, job)
    found = {}
    for line in listing.splitlines():
        fields = line.split(None, 3)
        if len(fields) < 4 or fields[2].startswith("Z"):
            continue
        if int(fields[1]) in groups or mark in fields[3].split():
            found[int(fields[0])] = os.path.basename(fields[3].split()[0])
    return found


class Ender:
    """End a job's processes: TERM, time to comply, KILL, and look until none is left. No waiting in here.

    Args:
        job: the job's id.
        groups: process groups of its ranks; may grow while this works.
        grace: seconds between TERM and KILL; 0 kills at once.
        now: monotonic seconds.
    """

    GIVE_UP = 10.0  # seconds after KILL; a process in uninterruptible sleep may take for ever

    def __init__(self, job, groups, grace, now):
        self._job = job
        self._groups = groups
        self._termed = set()
        self._kill_at = now + grace
        self._pause = 0.005
        self.next_look = now
        self.left = {}
        self.seen = {}

    def hurry(self, now):
        """Kill at the next look."""
        self._kill_at = min(self._kill_at, now)
        self.next_look = now

    def look(self, now):
        """Signal what is there; return True when the job is over or beyond our power (see `left`)."""
        self.left = job_processes(self._job, self._groups)
        self.seen.update(self.left)
        if not self.left or now > self._kill_at + self.GIVE_UP:
            return True
        if now >= self._kill_at:
            self._signal(self.left, signal.SIGKILL)
        else:
            self._signal(set(self.left) - self._termed, signal.SIGTERM)
            self._termed |= set(self.left)
        self._pause = min(self._pause * 1.5, 0.1)
        self.next_look = min(now + self._pause, self._kill_at) if now < self._kill_at else now + self._pause
        return False

    def _signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except OSError:
                pass  # gone, or another user's; the next look tells


def mpi_mark(mark):
    """Return the mark of mpirun and its daemons, which end after the ranks whose mark is `mark`."""
    return mark + ".mpi"


def end_all(mark, groups, grace):
    """End a job's ranks, then what carried them, and wait for it; return what is left, as {pid: command name}."""
    return dict(_end(mark, groups, grace), **_end(mpi_mark(mark), set(), 0))


def _end(mark, groups, grace):
    ender = Ender(mark, groups, grace, time.monotonic())
    while not ender.look(time.monotonic()):
        time.sleep(max(0.0, ender.next_look - time.monotonic()))
    return ender.left

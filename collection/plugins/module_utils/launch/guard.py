# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes around a supervisor: the guard above it, the front above that, and the one that keeps a Mac awake.

The guard ends the ranks when the supervisor is killed. It is the supervisor's parent, because then the system gives it
the orphans. The front is the process that the connection has started. It ends with the supervisor, at once, while the
guard may be at work for a while.
"""

from __future__ import annotations

import errno
import os
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import adopt_orphans, end_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json, selecting, sockets
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LIVES = b"+"  # sent by a guard that is ready
_MOST_FDS = 64  # that it can be given
_RETRY = 1.0  # seconds until another guard is tried where none could be made


class Guard:
    """The supervisor's side of the guard. Orders are lines of JSON; descriptors go with the first one.

    Args:
        end: ends a job's processes, see `processes.end_all`.
        clock: returns monotonic seconds.

    Attributes:
        processes: process ids of guards below this process, which belong to no job.
    """

    def __init__(self, end=end_all, clock=time.monotonic):
        self._end = end
        self._clock = clock
        self.processes = set()
        self._selector = None
        self._retry_at = None
        self._job = None
        self._held = ()
        self._groups = set()
        self._known = {}
        self._link = None

    def stand_above(self):
        """Put guard and front above this process: only the supervisor returns, a new process.

        Returns:
            The descriptor by which the front sees the supervisor's end; a byte in it says that this was no accident.
        """
        ours, theirs = sockets.socketpair()
        end_read, end_write = os.pipe()
        if os.fork():
            for each in (ours, theirs):
                each.close()
            os.close(end_write)
            _be_front(end_read)
        os.close(end_read)
        if os.fork():
            os.close(end_write)
            ours.close()
            _be_guard(theirs, self._end)
        theirs.close()
        os.write(end_write, b"%d\n" % os.getpid())
        self._link = ours
        return end_write

    def protect(self, mark, grace, held):
        """Guard the processes of a job.

        Args:
            mark: of its ranks here.
            grace: seconds between TERM and KILL.
            held: descriptors of locks, which are to be held until no process is left.
        """
        self._job, self._held = {"mark": mark, "grace": grace}, tuple(held)
        try:
            if self._link is None or not self._link.recv(len(_LIVES)):
                raise BrokenPipeError(errno.EPIPE, "the guard is gone")
            self._send_all(self._held)
        except OSError:
            self._replace()

    def watch(self, selector):
        """Let a selector tell when the guard has ended, and start another one at once."""
        self._selector = selector
        if self._retry_at is None:
            self._selector.register(self._link, selecting.EVENT_READ, self._on_readable)

    def _on_readable(self):
        """Nothing comes from a guard that lives. This may be about one that was replaced a moment ago."""
        if self._link is None:
            return
        try:
            gone = not self._link.recv(1, sockets.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._replace()

    def deadline(self):
        """Return the time at which another guard is tried, None when there is one or none is wanted."""
        return self._retry_at

    def on_time(self, now):
        """Try to start another guard, if that is due."""
        if self._retry_at is not None and now >= self._retry_at:
            self._replace()

    def add(self, group):
        """Guard a process group."""
        self._groups.add(group)
        self._order({"add": group})

    def remove(self, group):
        """Guard a process group no longer: nobody is in it."""
        self._groups.discard(group)
        self._order({"remove": group})

    def know(self, processes):
        """Guard these processes too: {pid: when it was started}, in place of those known so far."""
        if processes != self._known:
            self._known = processes
            self._order({"known": processes})

    def _order(self, order):
        if self._link is None:
            return  # it is dismissed: nothing is left to guard
        try:
            self._link.sendall(_line(order))
        except OSError:
            self._replace()

    def _send_all(self, fds):
        orders = [self._job, *({"add": group} for group in sorted(self._groups)), {"known": self._known}]
        sockets.send_fds(self._link, b"".join(map(_line, orders)), fds)

    def _replace(self):
        """Start another guard: somebody has killed the first, perhaps for want of memory. Orphans do not come to it."""
        self._let_go()
        self._retry_at = None
        try:
            self._link, theirs = sockets.socketpair()
            try:
                pid = os.fork()
                if pid == 0:
                    _take_over(theirs, self._held, self._end)
            finally:
                theirs.close()
            self.processes.add(pid)
            self._link.recv(len(_LIVES))
            self._send_all(())
        except OSError:  # no process can be made, or it was killed as well
            self._retry_at = self._clock() + _RETRY
            return
        if self._selector:
            self.watch(self._selector)

    def _let_go(self):
        """Close the way to a guard that is gone, or is to go."""
        self.processes.clear()
        if self._link is None:
            return
        fd = self._link.fileno()
        if self._selector and fd >= 0 and fd in self._selector.get_map():
            self._selector.unregister(fd)
        self._link.close()

    def dismiss(self):
        """End the guard: nothing is left to guard."""
        try:
            self._link.sendall(_line({"bye": True}))
        except OSError:
            pass  # it was killed
        self._let_go()
        self._link = self._retry_at = None


def _line(order):
    return plain_json.dumps(order).encode("ascii") + b"\n"


class Orders:
    """What a guard has been told so far.

    Attributes:
        mark, grace: of the job; the mark is "" as long as there is none.
        groups: process groups.
        known: other processes, as {pid: when it was started}.
        dismissed: whether nothing is left to guard.
    """

    def __init__(self):
        self.mark = ""
        self.grace = 0.0
        self.groups = set()
        self.known = {}
        self.dismissed = False
        self._rest = b""

    def feed(self, data):
        """Take bytes, in any pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(plain_json.loads(line.decode("ascii")))

    def _take(self, order):
        self.mark, self.grace = order.get("mark", self.mark), order.get("grace", self.grace)
        if "add" in order:
            self.groups.add(order["add"])
        if "remove" in order:
            self.groups.discard(order["remove"])
        if "known" in order:
            self.known = {int(pid): start for pid, start in order["known"].items()}
        self.dismissed = self.dismissed or "bye" in order


def _be_guard(link, end):
    """Wait for the end of the supervisor, and end its ranks. Never returns."""
    try:
        # It alone: Linux shares a processor out by sessions, and the supervisor is to stay with what reads from it.
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _to_null((0, 1, 2))
        adopt_orphans()
        orders = Orders()
        link.send(_LIVES)
        while not orders.dismissed:
            # The descriptors that come stay open: they are locks.
            data = sockets.recv_fds(link, 65536, _MOST_FDS)[0]
            if not data:
                break
            orders.feed(data)
        if orders.mark and not orders.dismissed:
            end(orders.mark, orders.groups, orders.grace, os.getpid(), orders.known)
    finally:
        os._exit(0)


def _take_over(link, held, end):
    """Be another guard, in a copy of the supervisor. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        _close_all_but({link.fileno(), *held})
        _be_guard(link, end)
    finally:
        os._exit(1)


def _be_front(end):
    """Wait for the end of the supervisor, to which signals are handed on. Never returns."""
    said = b""
    code = 1
    try:
        _to_null((0, 1, 2))
        while True:
            data = os.read(end, 64)
            if not data:
                break
            said += data
            pid, line_end, goodbye = said.partition(b"\n")
            code = 0 if goodbye else 1
            for number in _SIGNALS if line_end else ():
                if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup on this machine
                    signal.signal(number, lambda received, _frame, pid=int(pid): _hand_on(pid, received))
    finally:
        os._exit(code)


def _hand_on(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def keep_awake():
    """Keep a Mac from sleeping while ranks run; caffeinate ends with this process (caffeinate(8))."""
    if os.fork() == 0:
        try:
            _to_null((0, 1, 2))
            os.execv("/usr/bin/caffeinate", ["caffeinate", "-i", "-s", "-w", str(os.getppid())])
        finally:
            os._exit(127)


def _close_all_but(fds):
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for fd in [int(name) for name in os.listdir(folder)]:
        if fd not in fds and fd > 2:
            try:
                os.close(fd)
            except OSError:
                pass  # that of the listing itself


def _to_null(fds):
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        os.dup2(null, fd)

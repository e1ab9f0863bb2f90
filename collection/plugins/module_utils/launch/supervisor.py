# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor: runs all ranks of one host. The controller sends it over the connection, see hosts/bootstrap.

Standard input and output are the link to the controller. When it ends, or stays silent for the lease, the ranks end:
no rank can outlive the launch. A guard process does the same should the supervisor be killed.
"""

from __future__ import annotations

import os
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import adopt_orphans, prepare_adoption
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.guard import Guard
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.host_job import ON_FRAME, HostJob
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import HostSpec, RecoverySpec

LEASE = 60.0  # seconds, until the specification names another
_LONGEST_WAIT = 3600.0  # seconds


class Supervisor:
    """The loop around the link to the controller and the job, or the recovery of an earlier one.

    Args:
        link: the `ControllerLink`.
        wakeup: descriptor that becomes readable when a signal has come.
        guard: the `Guard`.
        host_job: makes the `HostJob` of a specification.

    Attributes:
        terminated: set by a signal that asks this process to end.
    """

    def __init__(self, link, wakeup, guard, host_job=HostJob):
        self._link = link
        self._wakeup = wakeup
        self._guard = guard
        self._host_job = host_job
        self._selector = selecting.DefaultSelector()
        self._job = None
        self._recovery = None  # in place of a job
        self._lease = LEASE
        self._unknown = set()  # kinds of frames
        self._over = False
        self.terminated = False

    # -- the loop

    def run(self):
        """Serve until the job is over here."""
        self._selector.register(self._link.fd_in, selecting.EVENT_READ, self._on_readable)
        self._selector.register(self._wakeup, selecting.EVENT_READ, lambda: _drain(self._wakeup))
        while not self._over:
            self._deliver()
            for key, _mask in self._selector.select(self._timeout()):
                key.data()
            if self._job:
                self._job.reap()
            if not self._over:
                self._on_time(time.monotonic())

    def _deliver(self):
        """Send as much as the link takes. Then nothing is left to send, or the selector waits for the link."""
        self._link.flush()
        if self._job:
            self._job.deliver()
        self._link.watch(self._selector)

    def _timeout(self):
        times = self._job.deadlines() if self._job else []
        times = [at for at in times if at is not None]
        if self._link.alive:
            times.append(self._link.heard + self._lease)
        return min(max(0.0, min(times) - time.monotonic()), _LONGEST_WAIT) if times else None

    def _on_readable(self):
        for frame in self._link.receive():
            self._on_frame(frame)
        if not self._link.alive:
            self._selector.unregister(self._link.fd_in)
            if not self._over:
                self._on_link_lost()

    def _on_time(self, now):
        if self.terminated:
            self._terminate()
        if self._link.alive and now >= self._link.heard + self._lease:
            self._link.give_up()
            self._on_link_lost()
        if self._job:
            self._job.on_time(now)
            if self._job.over and not self._link.alive:
                self._leave()

    # -- frames of the controller

    def _on_frame(self, frame):
        if frame.kind in _ON_FRAME:
            _ON_FRAME[frame.kind](self, frame)
        elif frame.kind in ON_FRAME and self._job:
            ON_FRAME[frame.kind](self._job, frame)
        elif frame.kind not in self._unknown:
            self._unknown.add(frame.kind)
            self._link.warn("the supervisor has no use for a frame of kind %d, and leaves it out" % frame.kind)

    def _on_ping(self, _frame):
        self._link.send(wire.encode(wire.PONG))

    def _on_spec(self, frame):
        wanted = frame.json()
        self._lease = wanted["lease"]
        if wanted.get("recover"):
            self._recover(RecoverySpec.from_wire(wanted))
        else:
            self._job = self._host_job(HostSpec.from_wire(wanted), self._link, self._selector, self._guard)
            self._job.begin()
            self._link.flush()
            adopt_orphans()  # while the controller waits for other hosts
        self._link.hear()  # nobody listened meanwhile; an mpirun may take its time to report its version

    def _recover(self, spec):
        # Late: few connections are lost.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.recovery import Recovery

        self._recovery = Recovery(spec, self._link)
        self._recovery.run()

    def _on_bye(self, _frame):
        self._forget()

    # -- the end

    def _terminate(self):
        self.terminated = False
        if not self._job:
            self._over = True
        elif not self._job.stopped and not self._job.over:
            self._link.warn("the supervisor was told to terminate, perhaps by a shutdown of the host")
            self._job.stop(self._job.spec.grace)

    def _on_link_lost(self):
        if self._recovery:
            self._over = True  # the next recovery finds what this one could not send
        elif not self._job or not self._job.begun:
            self._forget()
        elif not self._job.over:
            self._job.stop(self._job.spec.grace)

    def abandon(self):
        """Leave no rank behind, though this program has failed; whoever waits for it hears of that at once."""
        self._link.close()
        if self._job:
            self._job.abandon()

    def _leave(self):
        """Leave without the controller. If the connection broke, keep the rest for a recovery.

        If it only ended, the controller's process is gone and nobody will ask.
        """
        if self._link.broken():
            self._job.status.save()
            self._over = True
        else:
            self._forget()

    def _forget(self):
        """Leave nothing behind: the controller has everything, or wants nothing."""
        if self._job:
            self._job.forget()
        status = self._recovery.status if self._recovery else self._job and self._job.status
        self._over = True
        if status:
            try:
                status.remove()
            except OSError:
                pass  # somebody is in the way of cleaning up, which is no reason to fail; a later sweep tries again


_ON_FRAME = {
    wire.PING: Supervisor._on_ping,
    wire.SPEC: Supervisor._on_spec,
    wire.BYE: Supervisor._on_bye,
}


def _drain(fd):
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def main():
    """Serve the controller on standard input and output."""
    guard = Guard()
    prepare_adoption()
    end = guard.stand_above()
    fd_in, fd_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    wakeup_read, wakeup_write = os.pipe()
    for fd in (fd_in, fd_out, wakeup_read, wakeup_write):
        os.set_blocking(fd, False)
    supervisor = Supervisor(ControllerLink(fd_in, fd_out), wakeup_read, guard)
    signal.set_wakeup_fd(wakeup_write)
    signal.signal(signal.SIGCHLD, lambda *_args: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def terminate(*_args):
        supervisor.terminated = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup on this machine
            signal.signal(number, terminate)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started this may block some: no end of a rank would be seen
    try:
        supervisor.run()
    except BaseException:
        try:
            _report_failure(end, null)
        finally:
            supervisor.abandon()
        raise
    os.write(end, b".")


def _report_failure(end, null):
    """Let whoever waits for this process see its failure now: the end of the ranks may take their grace."""
    sys.excepthook(*sys.exc_info())  # the last line is the reason for the controller
    for fd in (1, 2):
        os.dup2(null, fd)
    os.close(end)

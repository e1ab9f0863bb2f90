# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job on one host: its parts, and the events that go from one to another."""

from __future__ import annotations

import errno
import os
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.stray_variables import clear_for_job
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import mark_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.written import time_there, written
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.ending import CLOSING, DRAINING, Ending
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.guard import keep_awake
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.output_pump import OutputPump
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.prepare import prepare
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank import stage
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank_group import RankGroup
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stdin_feed import Feeder
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

# Seconds for processes to follow their rank by themselves, as multiprocessing's resource tracker does.
_LINGER = 0.3


class HostJob:
    """The life of a job on this host: prepare, go, end, confirm.

    Large, as it has a short method for each frame and each event; the work is done by the parts that it owns.

    Args:
        spec: its `HostSpec`.
        link: the `ControllerLink`.
        selector: each descriptor in it has as its data the function to call when it is ready.
        guard: the `Guard`.
        prepare: see `prepare.prepare`.
        root: process whose descendants all belong to the job, 0 for none; None for this one, where it adopts orphans.

    Attributes:
        spec: as above.
    """

    def __init__(self, spec, link, selector, guard, prepare=prepare, root=None):
        self.spec = spec
        self._link = link
        self._selector = selector
        self._mark = mark_of(spec.job, spec.index)
        self._prepare = prepare
        self._guard = guard
        self._feeder = Feeder(selector, link.send)
        self._pump = OutputPump(selector, link, self._on_no_room)
        self._ranks = RankGroup(root=(os.getpid() if sys.platform == "linux" else 0) if root is None else root)
        self._ending = Ending(self._start_ender)
        self._prepared = None
        self._snapshots = None  # where they are needed
        self._since = None  # what is changed in the project after that was written by the job

    # -- before the ranks

    def begin(self):
        """Prepare the job, and report that it is ready or why it is not."""
        clear_for_job(self.spec, self._link.warn)
        self._prepared = prepared = self._prepare(self.spec, self._mpi_side)
        self._ranks.stage(prepared.ranks, self._mark, prepared.cwd)
        if prepared.problems:
            self._link.send_json(wire.REFUSED, {"problems": prepared.problems})
        else:
            self._since = time_there(self.spec.root, self.spec.hold)
            self._link.send_json(wire.READY, dict(prepared.facts, folder=self.status.folder))
        for doubt in prepared.ports.doubts:
            self._link.warn(doubt)

    @property
    def status(self):
        """The job's folder and record, None when the folder could not be made."""
        return self._prepared.status

    @property
    def _mpi(self):
        return self._prepared.mpi

    def _mpi_side(self, folder):
        # Late: only this backend needs it.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.mpi_side import MpiSide

        side = MpiSide(folder, self._mark, self._selector, self._link.send_json, self._on_wanted, self.spec.mpi.shim)
        side.open()
        return side

    def _on_go(self, frame):
        if self._ending.go():
            self._go(frame.json() if frame.payload else {})

    def _go(self, decided):
        """Start the ranks, or the mpirun that starts them.

        Args:
            decided: the decisions that could only be made when every host was ready.
        """
        self._prepared.ports.choose(decided.get("shift", 0))
        if "files" in decided:
            stage(decided["files"], self.status.folder)
            for rank in self._prepared.ranks:
                rank.replan(decided["env"][str(rank.rank)])
        self._guard.protect(self._mark, self.spec.grace, self._prepared.held)
        self._guard.watch(self._selector)
        self._ranks.begin(self._guard)
        if self._mpi:
            self._mpi.begin(decided)
        else:
            environment = dict(os.environ)
            for rank in self._prepared.ranks:
                self._start(rank, environment)
        if sys.platform == "darwin":
            keep_awake()
            self._snapshots = self._ranks.take_snapshots(self._selector)

    # -- ranks

    def _start(self, rank, environment, affinity=()):
        try:
            self._ranks.start(rank, environment, affinity)
        except OSError as exc:
            self._on_not_started(rank, exc)
            return
        self._link.send_json(wire.STARTED, {"pid": rank.pid}, rank.rank)
        self._pump.add(rank.streams)
        if rank.stdin:
            self._feeder.add(rank.stdin)

    def _on_not_started(self, rank, exc):
        for stream in rank.streams:
            stream.close()
        self._pump.add(rank.streams)
        if rank.stdin:
            self._feeder.add(rank.stdin)  # to be dropped like any other
        self._on_exited(rank, {"code": 127, "signal": 0, "error": "cannot start %s: %s" % (exc.filename, _reason(exc))})

    def _on_wanted(self, number, environment, affinity):
        """Start a rank for mpirun; return whether there is one for it to wait for."""
        rank = self._ranks.find(number)
        if rank is None:
            error = "wants rank %d here, which the rank table has elsewhere: leave the mapping to mlxlaunch" % number
            self._link.send_json(wire.EXITED_SERVICE, {"name": "mpirun", "code": 1, "signal": 0, "error": error})
        if rank is None or self._ending.stopped or number in self._ranks.started:
            return False
        self._start(rank, environment, affinity)
        return True

    def reap(self):
        """Take notice of all processes that have ended."""
        for rank, code in self._ranks.reap(lambda pid, code: self._mpi and self._mpi.reaped(pid, code)):
            self._pump.drain(rank.streams)
            self._on_exited(rank, {"code": max(code, 0), "signal": max(-code, 0), "signal_name": _signal_name(-code)})

    def _on_exited(self, rank, how):
        rank.ended = True
        self._feeder.drop(rank.rank)
        how.update(at=self._ranks.seconds, stopped=self._ending.stopped)
        self.status.exited(rank.rank, how)
        self._pump.send_once(rank.streams)
        self._link.send_json(wire.EXITED, how, rank.rank)
        if self._mpi:
            self._mpi.rank_ended(rank.rank, 128 + how["signal"] if how["signal"] else how["code"])
        if self._ranks.all_ended():
            self._ending.all_exited(self.spec.grace)

    # -- frames for what runs

    def _on_acknowledged(self, frame):
        self._pump.acknowledge(frame.rank, frame.json()["stream"], frame.offset)

    def _on_stdin(self, frame):
        self._feeder.on_frame(frame)

    def _on_screen(self, frame):
        if frame.rank in self._ranks.started:
            self._ranks.started[frame.rank].resize(frame.json())

    def _on_daemon(self, frame):
        if not self._ending.stopped and not self._ending.over:
            message = frame.json()
            self._mpi.start("its daemon", message["argv"], message["env"])

    def _on_answer(self, frame):
        message = frame.json()
        self._mpi.answer(message["id"], message["code"])

    def _on_stop(self, frame):
        self.stop(frame.json()["grace"])

    def _on_kill(self, _frame):
        self.stop(0)

    def _on_no_room(self, why):
        self._link.warn("no room for output in %s: %s; ranks wait until the controller has it" % (self.status.folder, why))

    # -- in each turn

    def deliver(self):
        """Send as much output as the link takes, and the confirmation when that was the last of it."""
        self._pump.pump()
        if self._ending.phase == DRAINING and self._link.alive and self._pump.drained:
            self._ending.all_sent()
            self._link.send_json(wire.DONE, self._last_words())

    def _last_words(self):
        found = {"remaining": {str(pid): name for pid, name in self._ending.remaining.items()}}
        if self.spec.hold and self.begun:
            found["written"] = written(self.spec.root, self.spec.hold, self._since)
        return found

    def deadlines(self):
        """Return the times at which there is something to do, None among them for never."""
        closing = self._ending.phase == CLOSING and self._mpi
        times = [self._ending.next_look(), self._pump.deadline(), self._guard.deadline(), self._mpi.next_look() if closing else None]
        return times + ([self._snapshots.deadline()] if self._snapshots and not self.over else [])

    def on_time(self, now):
        """Go on with the end of the job, as far as it is due."""
        self._guard.on_time(now)
        if self._snapshots and not self.over:
            self._snapshots.on_time(now)
        if self._ending.ranks_gone(self._ranks.dying):
            self._on_ranks_gone()
        if self._ending.phase == CLOSING and (not self._mpi or self._mpi.over(now)):
            self._on_nothing_runs()

    # -- the end

    @property
    def begun(self):
        """Whether ranks were started, so that there is something to end."""
        return self._ranks.guarded

    @property
    def stopped(self):
        """Whether the job is ended on request."""
        return self._ending.stopped

    @property
    def over(self):
        """Whether nothing of the job runs here any more."""
        return self._ending.over

    def _start_ender(self, grace, now):
        return self._ranks.ender(grace, now, 0.0 if self._ending.stopped else _LINGER)

    def stop(self, grace):
        """End the job, without any grace at once; nothing to do when it has ended by itself."""
        if self._ending.over:
            return
        self.reap()  # ranks that have ended until now were not stopped by us
        self._ending.stop(grace)
        if self._mpi:
            self._mpi.hurry(time.monotonic(), grace)

    def _on_ranks_gone(self):
        """No process of a rank is left, or none that can be ended: the pipes have no writer, so they end too."""
        if self._ending.left_behind:
            self._link.warn("the ranks left processes behind, which were ended: %s" % _phrase(self._ending.left_behind))
        self.reap()
        self._pump.close()

    def _on_nothing_runs(self):
        self._ending.nothing_runs()
        if self._mpi:
            self._mpi.close()
        self._prepared.ports.close()  # before anyone hears that the job is over, and starts another
        if self._ranks.guarded:
            self._guard.dismiss()

    def abandon(self):
        """End the ranks and wait for that, outside of the loop: it has failed."""
        if self.begun:
            self._ranks.end(self.spec.grace)
            self.status.save()

    def forget(self):
        """Close all streams and remove their files."""
        self._ranks.forget()


ON_FRAME = {
    wire.GO: HostJob._on_go,
    wire.STOP: HostJob._on_stop,
    wire.KILL: HostJob._on_kill,
    wire.ACK: HostJob._on_acknowledged,
    wire.DAEMON: HostJob._on_daemon,
    wire.ANSWER: HostJob._on_answer,
    wire.STDIN: HostJob._on_stdin,
    wire.STDIN_END: HostJob._on_stdin,
    wire.SCREEN: HostJob._on_screen,
}


def _signal_name(number):
    """Return the name a signal has on this system; the numbers differ between systems."""
    if number <= 0:
        return ""
    from signal import Signals  # Late: slow to import, and few ranks end by a signal

    try:
        return Signals(number).name
    except ValueError:
        return ""


def _reason(exc):
    """Return why a rank could not be started. Of a program that is there, the system means what it needs."""
    lacking = exc.errno == errno.ENOENT and os.path.isfile(exc.filename)
    return "its interpreter, or the working directory, is not there" if lacking else exc.strerror


def _phrase(processes):
    return ", ".join("%s (%d)" % (name, pid) for pid, name in sorted(processes.items()))

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: runs all ranks of one host. The controller sends it over the channel; see `_boot`.

Standard input and output are the channel. When it ends, or stays silent for the lease, the ranks end: there is
no way for a rank to outlive the launch. A guard process does the same should this one be killed.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._hostcheck import check_host
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._lock import InUse, hold
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import MARK, Ender, end_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._rank import CHUNK, RankProcess, stage, stage_modules
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._recover import Recovery, Status, folder_of, mark_of, sweep
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._stdin import Feeder

BACKLOG = 4 * CHUNK  # bytes waiting for the channel before more is left on disk


class Channel:
    """The two ends of the way to the controller."""

    def __init__(self, fd_in, fd_out):
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.alive = True
        self.silent = False  # given up because nothing came for the lease
        self.heard = time.monotonic()
        self._decoder = wire.Decoder()
        self._out = bytearray(wire.MARKER)
        os.set_blocking(fd_in, False)
        os.set_blocking(fd_out, False)

    @property
    def backlog(self):
        """Bytes waiting to be sent."""
        return len(self._out) if self.alive else 0

    def send(self, data):
        self._out += data

    def tell(self, kind, message, rank=0):
        self.send(wire.encode_json(kind, message, rank))

    def receive(self):
        """Return the frames that have come; the end of the channel clears `alive`."""
        frames = []
        while self.alive:
            try:
                data = os.read(self.fd_in, 65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.alive = False
                break
            self.heard = time.monotonic()
            frames += self._decoder.feed(data)
        return frames

    def broken(self):
        """Whether the connection itself is gone, and not only the process at its other end."""
        poll = select.poll()
        poll.register(self.fd_out, 0)
        return self.silent or any(events & (select.POLLERR | select.POLLHUP) for _fd, events in poll.poll(0))

    def flush(self, wait=False):
        """Send what the channel takes now; with `wait`, everything."""
        while self._out and self.alive:
            try:
                count = os.write(self.fd_out, self._out[:CHUNK])
            except BlockingIOError:
                if not wait:
                    return
                select.select([], [self.fd_out], [])
                continue
            except OSError:
                self.alive = False
                return
            del self._out[:count]


class Supervisor:
    """The life of the ranks on this host: check, wait for go, run, end, confirm."""

    def __init__(self, channel, wakeup):
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel.fd_in, selectors.EVENT_READ)
        self._selector.register(wakeup, selectors.EVENT_READ)
        self._wakeup = wakeup
        self._feeder = Feeder(self._selector, channel.send)
        self._writing = False
        self._spec = {}
        self._staged = []
        self._ranks = {}
        self._guard = None
        self._status = None
        self._recovery = None
        self._cwd = ""
        self._mpi = None  # what mpirun does here
        self._ports = None  # kept for the ranks
        self._ender = None
        self._left = None  # what the ranks left that could not be ended; None until they are gone
        self._done = None  # what to tell when all output is sent
        self._groups = set()
        self._started_at = 0.0
        self._stopped = False  # by us, as opposed to ended by itself
        self._told_done = False
        self._told_full = False
        self._over = False
        self.terminated = False

    # -- the loop

    def run(self):
        """Serve until the job is over here."""
        while not self._over:
            self._deliver()
            for key, _mask in self._selector.select(self._timeout()):
                self._on_ready(key)
            self._reap()
            self._on_time(time.monotonic())

    def _timeout(self):
        now = time.monotonic()
        at = [self._channel.heard + self._lease()] if self._channel.alive else []
        if self._ender:
            at.append(self._ender.next_look)
        if self._mpi and self._left is not None and self._done is None and self._mpi.next_look() is not None:
            at.append(self._mpi.next_look())
        if self._channel.alive and self._channel.backlog < BACKLOG:
            at += [stream.tail_until for stream in self._streams() if stream.tail_until]
        return min(max(0.0, min(at) - now), 3600.0) if at else None

    def _lease(self):
        return self._spec.get("lease", 60.0)

    def _deliver(self):
        """Give the channel what it takes. Then either nothing is left to send, or its readiness is waited for."""
        self._channel.flush()
        self._pump()
        self._watch_output()

    def _watch_output(self):
        wanted = bool(self._channel.backlog)
        if wanted == self._writing:
            return
        self._writing = wanted
        if wanted:
            self._selector.register(self._channel.fd_out, selectors.EVENT_WRITE)
        else:
            self._selector.unregister(self._channel.fd_out)

    def _on_ready(self, key):
        if callable(key.data):
            key.data()
        elif key.data is not None:
            self._read(key.data)
        elif key.fd == self._channel.fd_in:
            for frame in self._channel.receive():
                self._on_frame(frame)
            if not self._channel.alive:
                self._selector.unregister(self._channel.fd_in)
                self._on_channel_lost()
        elif key.fd == self._wakeup:
            _drain(self._wakeup)

    def _on_time(self, now):
        if self.terminated and not self._stopped and self._done is None:
            self._warn("the supervisor was told to terminate, perhaps by a shutdown of the host")
            self._end(self._spec.get("grace", 0))
        if self._channel.alive and now >= self._channel.heard + self._lease():
            self._channel.alive, self._channel.silent = False, True
            self._on_channel_lost()
        if self._ender and now >= self._ender.next_look and self._ender.look(now):
            self._all_ended()
        if self._left is not None and self._done is None and (not self._mpi or self._mpi.over(now)):
            self._nothing_runs()

    # -- what the controller says

    def _on_frame(self, frame):
        if frame.kind == wire.PING:
            self._channel.send(wire.encode(wire.PONG))
        elif frame.kind == wire.SPEC:
            self._on_spec(frame.json())
        elif frame.kind == wire.GO:
            self._go(frame.json() if frame.payload else {})
        elif frame.kind == wire.STOP:
            self._stop(frame.json()["grace"])
        elif frame.kind == wire.KILL:
            self._stop(0)
        elif frame.kind == wire.ACK:
            self._acknowledge(frame)
        elif frame.kind == wire.BYE:
            self._forget()
        elif frame.kind in (wire.DAEMON, wire.ANSWER):
            self._on_mpi_frame(frame.kind, frame.json())
        elif frame.kind in (wire.STDIN, wire.STDIN_END):
            self._feeder.on_frame(frame)
        elif frame.kind == wire.SCREEN and frame.rank in self._ranks:
            self._ranks[frame.rank].resize(frame.json())

    def _on_mpi_frame(self, kind, message):
        if kind == wire.ANSWER:
            self._mpi.answer(message["id"], message["code"])
        elif not self._stopped and self._done is None:
            self._mpi.start("its daemon", message["argv"], message["env"])

    def _on_spec(self, spec):
        self._spec = spec
        if spec.get("recover"):
            self._recovery = Recovery(spec, self._channel)
            self._recovery.run()
            self._channel.heard = time.monotonic()  # it did not listen meanwhile
            return
        known, problems, self._ports = check_host(spec)
        for path in spec["hold"]:
            try:
                hold(path)  # until this process ends
            except (OSError, InUse) as exc:
                problems.append("cannot hold %s: %s" % (path, exc))
        self._cwd = known["cwd"]
        folder = folder_of(spec["job"], spec["index"])
        sweep(os.path.dirname(folder))
        try:
            self._status = Status.create(folder)
            files = stage(spec["files"], folder)
            self._staged = [RankProcess(plan, folder, files) for plan in spec["ranks"]]
            stage_modules(folder, spec.get("modules", {}))
            self._mpi = self._mpi_side(folder) if "mpi" in spec else None
        except OSError as exc:
            problems.append("cannot write to the job's directory %s: %s" % (folder, exc.strerror))
        self._channel.heard = time.monotonic()  # it did not listen meanwhile; an mpirun may take its time to tell its version
        self._channel.tell(wire.REFUSED if problems else wire.READY, {"problems": problems} if problems else dict(known, folder=folder))
        for doubt in self._ports.doubts:
            self._warn(doubt)

    def _go(self, decided):
        """Start the ranks, or what will have them started.

        Args:
            decided: what could only be told when every host was ready.
        """
        self._started_at = time.monotonic()
        self._ports.choose(decided.get("shift", 0))
        if "files" in decided:
            stage(decided["files"], self._status.folder)
            for rank in self._staged:
                rank.replan(decided["env"][str(rank.rank)])
        self._guard = Guard(mark_of(self._spec), self._spec["grace"], (self._channel.fd_in, self._channel.fd_out, self._wakeup))
        if self._mpi:
            self._mpi.begin(decided)
        else:
            environment = dict(os.environ)
            for rank in self._staged:
                self._start(rank, environment)
        if sys.platform == "darwin":
            _keep_awake()

    def _start(self, rank, environment, affinity=()):
        self._ranks[rank.rank] = rank
        environment[MARK] = mark_of(self._spec)
        try:
            rank.start(self._cwd, environment, affinity)
        except OSError as exc:
            self._not_started(rank, exc)
            return
        self._groups.add(rank.pid)
        self._guard.add(rank.pid)
        self._channel.tell(wire.STARTED, {"pid": rank.pid}, rank.rank)
        for stream in rank.streams:
            self._selector.register(stream.fd, selectors.EVENT_READ, stream)
        if rank.stdin:
            self._feeder.add(rank.stdin)

    def _mpi_side(self, folder):
        # Late: only this backend needs it.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils._mpi_side import MpiSide

        return MpiSide(folder, mark_of(self._spec), self._selector, self._channel.tell, self._on_wanted, self._spec["mpi"]["stand_in"])

    def _on_wanted(self, number, environment, affinity):
        """Mpirun wants a rank here; return whether there is one for it to wait for."""
        rank = next((rank for rank in self._staged if rank.rank == number), None)
        if rank is None:
            error = "wants rank %d here, which the rank table has elsewhere: leave the mapping to mlxlaunch" % number
            self._channel.tell(wire.LEFT, {"name": "mpirun", "code": 1, "signal": 0, "error": error})
        if rank is None or self._stopped or number in self._ranks:
            return False
        self._start(rank, environment, affinity)
        return True

    def _not_started(self, rank, exc):
        for stream in rank.streams:
            stream.close()
        if rank.stdin:
            self._feeder.add(rank.stdin)  # to be let go of like any other
        self._exited(rank, {"code": 127, "signal": 0, "error": "cannot start %s: %s" % (exc.filename, exc.strerror)})

    def _stop(self, grace):
        if self._done is not None:
            return  # they have ended by themselves meanwhile
        if self._ender and grace == 0:
            self._ender.hurry(time.monotonic())
        elif not self._ender and self._left is None:
            self._end(grace)
        if self._mpi:
            self._mpi.hurry(time.monotonic(), grace)

    def _end(self, grace):
        self._reap()  # what has ended until now was not stopped by us
        self._stopped = True
        self._ender = self._ender or Ender(mark_of(self._spec), self._groups, grace, time.monotonic())

    def _acknowledge(self, frame):
        stream = self._stream(frame.rank, frame.json()["stream"])
        stream.acknowledge(frame.offset)

    def _stream(self, rank, name):
        return next(stream for stream in self._ranks[rank].streams if stream.name == name)

    def _forget(self):
        """The controller has everything: leave nothing behind."""
        for rank in self._ranks.values():
            rank.forget()
        status = self._recovery.status if self._recovery else self._status
        if status:
            status.remove()
        self._over = True

    # -- what the ranks do

    def _read(self, stream):
        if stream.full or not stream.read():
            if stream.fd < 0 or stream.full:
                self._unwatch(stream)
            return
        if stream.full:
            self._unwatch(stream)
            self._say_full()

    def _unwatch(self, stream):
        for key in list(self._selector.get_map().values()):
            if key.data is stream:
                self._selector.unregister(key.fileobj)

    def _say_full(self):
        if not self._told_full:
            self._told_full = True
            self._warn("the disk under %s is full; output waits for the channel" % self._status.folder)

    def _pump(self):
        """Move output towards the channel, every stream in turn, until it has enough to do."""
        streams = self._streams()
        while streams and self._channel.alive and self._channel.backlog < BACKLOG:
            streams = [stream for stream in streams if self._pump_one(stream)]
            self._channel.flush()
        self._maybe_done()

    def _streams(self):
        return [stream for rank in self._ranks.values() for stream in rank.streams]

    def _pump_one(self, stream):
        was_full = stream.full
        frame = stream.next_frame(time.monotonic(), self._channel.backlog > 0)
        if frame:
            self._channel.send(frame)
        if was_full and not stream.full and stream.fd >= 0:
            self._selector.register(stream.fd, selectors.EVENT_READ, stream)
        return bool(frame)

    def _reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._mpi and self._mpi.reaped(pid, os.waitstatus_to_exitcode(status)):
                continue
            rank = next((rank for rank in self._ranks.values() if rank.pid == pid), None)
            self._forget_empty_group(pid)
            if rank and not rank.ended:
                self._last_words(rank)
                code = os.waitstatus_to_exitcode(status)
                self._exited(rank, {"code": max(code, 0), "signal": max(-code, 0), "signal_name": _signal_name(-code)})

    def _forget_empty_group(self, group):
        """A process id that is free again may become a stranger's; it must not be signalled then."""
        try:
            os.killpg(group, 0)
        except OSError:
            if group in self._groups:
                self._groups.discard(group)
                self._guard.remove(group)

    def _last_words(self, rank):
        """Take what a dead rank has left in its pipes; its grandchildren may still hold them open."""
        for stream in rank.streams:
            while stream.fd >= 0 and not stream.full and stream.read():
                self._pump_one(stream)
            if stream.fd < 0:
                self._unwatch(stream)

    def _exited(self, rank, how):
        rank.ended = True
        self._feeder.drop(rank.rank)
        how.update(at=time.monotonic() - self._started_at, stopped=self._stopped)
        self._status.exited(rank.rank, how)
        for stream in rank.streams:
            self._pump_one(stream)
        self._channel.tell(wire.EXITED, how, rank.rank)
        if self._mpi:
            self._mpi.rank_ended(rank.rank, 128 + how["signal"] if how["signal"] else how["code"])
        if all(other.ended for other in self._ranks.values()) and len(self._ranks) == len(self._staged) and not self._ender:
            # Whatever the ranks have left running goes with them.
            self._ender = Ender(mark_of(self._spec), self._groups, self._spec["grace"], time.monotonic())

    # -- the end

    def _all_ended(self):
        """No process of a rank is left (or none that can be ended): the pipes have no writer, so they end too."""
        if self._ender.seen and not self._stopped:
            self._warn("the ranks left processes behind, which were ended: %s" % _phrase(self._ender.seen))
        self._left = self._ender.left
        self._reap()  # while there is an ender, so that the last exit does not ask for another
        self._ender = None
        for rank in self._ranks.values():
            self._last_words(rank)
            for stream in rank.streams:
                if stream.fd >= 0 and not stream.full:
                    self._unwatch(stream)
                    stream.close()

    def _nothing_runs(self):
        self._done = {"left": {str(pid): name for pid, name in self._left.items()}}
        if self._mpi:
            self._mpi.close()
        self._ports.close()  # before anyone hears that the job is over, and starts another
        if self._guard:
            self._guard.dismiss()
        self._maybe_done()

    def _maybe_done(self):
        if self._done is None or self._told_done:
            return
        if not self._channel.alive:
            self._leave()
        elif all(stream.drained for stream in self._streams()):
            self._told_done = True
            self._channel.tell(wire.DONE, self._done)

    def _on_channel_lost(self):
        if not self._guard:
            self._forget()
        elif self._done is not None:
            self._leave()
        else:
            self._stop(self._spec["grace"])

    def _leave(self):
        """The channel is gone. If it broke, keep what the controller may not have, for its recovery.

        If it only ended, the controller's process is gone and nobody will ask.
        """
        if self._channel.broken():
            self._status.save()
            self._over = True
        else:
            self._forget()

    def _warn(self, text):
        self._channel.tell(wire.WARNING, {"text": text})


class Guard:
    """A process that ends the ranks when the supervisor itself is killed. It costs one fork.

    Args:
        job, grace: as in the spec.
        fds: the channel's descriptors, which it must not keep open.
    """

    def __init__(self, job, grace, fds):
        read, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._pipe)
                self._watch(job, grace, fds, read)
            finally:
                os._exit(0)
        os.close(read)

    def _watch(self, job, grace, fds, read):
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2, *fds):
            os.dup2(null, fd)
        told = b""
        while True:
            data = os.read(read, 4096)
            told += data
            if told.endswith(b"bye\n"):
                return
            if not data:
                break
        groups = set()
        for word in told.split():
            (groups.add if int(word) > 0 else groups.discard)(abs(int(word)))
        end_all(job, groups, grace)

    def add(self, group):
        os.write(self._pipe, b"%d\n" % group)

    def remove(self, group):
        os.write(self._pipe, b"-%d\n" % group)

    def dismiss(self):
        """Nothing is left to guard."""
        try:
            os.write(self._pipe, b"bye\n")
        except OSError:
            pass
        os.close(self._pipe)


def _keep_awake():
    """Keep a Mac from sleeping while ranks run; caffeinate ends with this process (caffeinate(8))."""
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execv("/usr/bin/caffeinate", ["caffeinate", "-i", "-s", "-w", str(os.getppid())])
        finally:
            os._exit(127)


def _signal_name(number):
    """Return the name a signal has on this system; the numbers differ between systems."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _phrase(processes):
    return ", ".join("%s (%d)" % (name, pid) for pid, name in sorted(processes.items()))


def _drain(fd):
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def main():
    """Serve the channel on standard input and output."""
    fd_in, fd_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    wakeup_read, wakeup_write = os.pipe()
    for fd in (wakeup_read, wakeup_write):
        os.set_blocking(fd, False)
    supervisor = Supervisor(Channel(fd_in, fd_out), wakeup_read)
    signal.set_wakeup_fd(wakeup_write)
    signal.signal(signal.SIGCHLD, lambda *_args: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def terminate(*_args):
        supervisor.terminated = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, terminate)
    supervisor.run()

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of the controller's calls while something is deployed or checked.

Standard input and output are the link to the controller. Calls are answered one at a time, and a thread listens
meanwhile. So a program that a call has started (pip, a probe) ends as soon as the controller is gone. It is gone when
the link ends, or when nothing comes for the lease. A call that hangs in a disk or network directory fails after the
lease: that thread says so, as the other one cannot.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import Owners
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import threads
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal

_LAST_RESORT = 20.0  # seconds from the end of the controller to that of this process, should anything hang
_IDLE = 0.0001  # seconds of processor time below which a call does nothing
_HANGS = 10.0  # seconds without any that even a slow disk does not take


class ControllerGone(BaseException):
    """The controller is gone. No Exception: nothing that handles a failed call may go on."""


class AgentServer:
    """The two ends of the link, and the call in progress.

    Its many attributes are the link's, those of the call in progress, and what calls leave until the end.

    Args:
        fd_in, fd_out: the link.
        functions: the functions that can be called, by name; each gets this server and the call's arguments.
        lease: seconds of silence after which the controller counts as gone.

    Attributes:
        lease: as above; a call may change it.
        gone: whether the controller is gone.
        at_end: functions to call should the controller be gone between two calls, by a key of the caller's choice.
        owners: the users whose files are trusted; a call may name one more.
        held: descriptors that hold deployed directories as long as this process lives, by path.
    """

    def __init__(self, fd_in, fd_out, functions, lease=60.0):
        self._in = fd_in
        self._out = fd_out
        self._functions = functions
        self._lock = threads.make_lock()
        self._calls = threads.SimpleQueue()  # None among them at the end
        self._child = 0  # process group of the child that runs
        self._busy = Busy()
        self.lease = lease
        self.gone = False
        self.at_end = {}
        self.owners = Owners()
        self.held = {}

    def serve(self):
        """Answer until the controller has gone."""
        self._send(wire.MARKER)
        self._busy.worker = threads.current_thread()
        threads.start(self._listen)
        try:
            while True:
                call = self._calls.get()
                if self.gone:
                    return
                self._busy.begin()
                reply = self._answer(call)
                self._busy.end()
                if self.gone:
                    return
                self._send(wire.encode_json(wire.REPLY, reply))
        except ControllerGone:
            pass
        finally:
            for end in list(self.at_end.values()):
                end()

    def _answer(self, call):
        try:
            return {"result": self._functions[call["do"]](self, **call["with"])}
        except CallFailed as exc:
            return {"error": str(exc)}
        except OSError as exc:
            where = ": %s" % exc.filename if exc.filename else ""
            return {"error": "%s%s" % (exc.strerror or exc, where)}

    # -- for the functions

    def progress(self, text):
        """Report progress; raise ControllerGone when the controller is gone."""
        if self.gone:
            raise ControllerGone
        self._send(wire.encode_json(wire.PROGRESS, {"text": text}))

    def run(self, argv, env=None, cwd=None, on_line=None, timeout=0.0):
        """Run a program to its end and return (exit status, its output and errors as text).

        Args:
            timeout: seconds after which it is killed; 0 for no limit.

        Raises:
            OSError: it cannot be started, or root must not run it; see `Owners.why_not_run`.
        """
        # Slow to import, and a deploy with nothing to do needs none.
        import subprocess
        import threading

        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.programs import find_program

        reason = self.owners.why_not_run(find_program(argv[0], cwd or os.getcwd()))
        if reason:
            raise OSError(errno.EPERM, reason)
        process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        with self._lock:
            self._child = process.pid
        if self.gone:  # before it was known which process to kill
            _kill_group(process.pid)
        limit = threading.Timer(timeout, _kill_group, (process.pid,))
        if timeout:
            limit.start()
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.decode("utf-8", "replace"))
                if on_line:
                    on_line(lines[-1].rstrip())
            process.wait()
        finally:
            limit.cancel()
            _kill_group(process.pid)
            process.stdout.close()
            process.wait()
            self._child = 0
        if self.gone:
            raise ControllerGone
        return process.returncode, "".join(lines)

    # -- the link

    def _listen(self):
        decoder = wire.Decoder()
        while select.select([self._in], [], [], self.lease)[0]:
            try:
                data = os.read(self._in, 262144)
            except OSError:
                break
            if not data:
                break
            for frame in decoder.feed(data):
                if frame.kind == wire.PING:
                    self._send(wire.encode(wire.PONG))
                    self._give_up_what_hangs()
                elif frame.kind == wire.CALL:
                    self._calls.put(frame.json())
        self._leave()

    def _give_up_what_hangs(self):
        limit = max(self.lease, _HANGS)
        if self._child or self.gone:
            self._busy.begin()  # a program may wait for as long as it wants
        elif self._busy.idle_for() >= limit:
            reason = "nothing has come from its disk for %g s: does %s hang?" % (limit, self._busy.place())
            self._send(wire.encode_json(wire.REPLY, {"error": reason}))
            self._leave()

    def _leave(self):
        self.gone = True
        threads.start(_end_at_last)
        if self._child:
            _kill_group(self._child)
        self._calls.put(None)

    def _send(self, data):
        with self._lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._out, view) :]
            except OSError:
                self.gone = True


class Busy:
    """The work of the thread that answers calls, as the thread that listens sees it.

    Attributes:
        worker: id of that thread.
    """

    def __init__(self):
        self.worker = 0
        self._used = 0.0  # seconds of processor time, when it was last seen to do anything
        self._since = None  # when that was

    def begin(self):
        """Note that a call is at work."""
        self._used, self._since = -1.0, time.monotonic()

    def end(self):
        """Note that none is."""
        self._since = None

    def idle_for(self):
        """Return the seconds for which the call has used no processor time."""
        since, used = self._since, _used_by_others()
        if since is None:
            return 0.0
        if used - self._used > _IDLE:
            self._used, self._since = used, time.monotonic()
            return 0.0
        return time.monotonic() - since

    def place(self):
        """Return the path that the call is at, as far as can be told."""
        frame = sys._current_frames().get(self.worker)
        while frame:
            for value in frame.f_locals.values():
                path = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                if isinstance(path, str) and path.startswith("/"):
                    return path
            frame = frame.f_back
        return "a directory"


def _used_by_others():
    """Return the processor time, in seconds, of all threads but this one."""
    return time.process_time() - time.thread_time()


def _end_at_last():
    """End this process should anything hang, a disk for example; the next deploy cleans up what is half made."""
    time.sleep(_LAST_RESORT)
    os._exit(1)


def _kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def serve(functions):
    """Serve the controller on standard input and output."""
    fd_in, fd_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0o022)  # whoever may enter a deployed directory may read what is in it
    agent = AgentServer(fd_in, fd_out, functions)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup on this machine
            signal.signal(number, lambda *_args: agent._leave())
    agent.serve()
    os._exit(0)  # the connection ends sooner than Python could take itself apart

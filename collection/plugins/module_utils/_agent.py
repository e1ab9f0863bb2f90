# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: answers the controller's calls while something is deployed or checked.

Standard input and output are the channel. One call at a time; a thread listens meanwhile, so that what a call has
started (pip, a probe) ends as soon as the controller is gone, be it that the channel ends or that nothing comes for the lease.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import deque

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire

_LAST_RESORT = 20.0  # seconds after the controller has gone; whatever still keeps us then


class CallFailed(Exception):
    """A call could not do what was asked; the text is for a person and names the path."""


class Gone(BaseException):
    """The controller is gone. No Exception: nothing that handles a failed call may go on."""


class Agent:
    """The two ends of the channel, and the call in progress.

    Args:
        fd_in, fd_out: the channel.
        functions: what can be called: name to function, which is given this agent and the call's arguments.
        lease: seconds of silence after which the controller is gone.
    """

    def __init__(self, fd_in, fd_out, functions, lease=60.0):
        self._in = fd_in
        self._out = fd_out
        self._functions = functions
        self._lock = threading.Lock()
        self._calls = deque()
        self._come = threading.Semaphore(0)
        self._child = 0  # process group of the child that runs
        self.lease = lease
        self.gone = False
        self.at_end = {}  # what is to be done when the controller has gone in between two calls

    def serve(self):
        """Answer until the controller has gone."""
        self._send(wire.MARKER)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            while True:
                self._come.acquire()
                if self.gone:
                    return
                call = self._calls.popleft()
                self._send(wire.encode_json(wire.REPLY, self._answer(call)))
        except Gone:
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
        """Tell what is going on; raise Gone when nobody is there to hear it."""
        if self.gone:
            raise Gone
        self._send(wire.encode_json(wire.PROGRESS, {"text": text}))

    def run(self, argv, env=None, cwd=None, on_line=None, timeout=0.0):
        """Run a program to its end and return (exit status, its output and errors as text).

        Args:
            timeout: seconds after which it is killed; 0 for no limit.
        """
        import subprocess  # slow to import, and a deploy with nothing to do needs none

        process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        with self._lock:
            self._child = process.pid
        if self.gone:  # before we had said what to kill
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
            raise Gone
        return process.returncode, "".join(lines)

    # -- the channel

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
                elif frame.kind == wire.CALL:
                    self._calls.append(frame.json())
                    self._come.release()
        self._leave()

    def _leave(self):
        self.gone = True
        # A disk that hangs, for example; what is half made is cleaned up by whoever comes next.
        timer = threading.Timer(_LAST_RESORT, os._exit, (1,))
        timer.daemon = True
        timer.start()
        if self._child:
            _kill_group(self._child)
        self._come.release()

    def _send(self, data):
        with self._lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._out, view) :]
            except OSError:
                self.gone = True


def _kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def serve(functions):
    """Serve the channel on standard input and output."""
    fd_in, fd_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0o022)  # what is deployed is for whoever runs jobs here
    agent = Agent(fd_in, fd_out, functions)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_args: agent._leave())
    agent.serve()
    os._exit(0)  # the connection ends sooner than Python could take itself apart

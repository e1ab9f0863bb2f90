# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run side by side, each bounded in time and in the length of its answer."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time

MOST = 4 * 1024 * 1024  # bytes of one answer
_LOOK = 0.2  # seconds between two looks at whether anybody waits for the answers
_MORE_PATH = ("/usr/sbin", "/sbin")  # not in the PATH of every user


class _Running:
    """One program, its answer so far, and the end of its time."""

    def __init__(self, argv, seconds):
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PATH])
        # In the language of the programs' authors, whatever the user's is.
        env = dict(os.environ, LC_ALL="C", LANG="C", PATH=path)
        self.seconds = seconds
        self.deadline = 0.0  # `collect` sets it
        self.answer = {"out": b"", "err": b""}
        self.reason = ""
        self.process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self.open = {self.process.stdout: "out", self.process.stderr: "err"}

    def read(self, pipe):
        """Take a piece of output; return whether the pipe has ended."""
        piece = os.read(pipe.fileno(), 65536)
        stream = self.open[pipe]
        self.answer[stream] += piece
        if len(self.answer[stream]) > MOST:
            self.end("its answer is longer than %d MiB" % (MOST // 1024 // 1024))
        if not piece:
            del self.open[pipe]
        return not piece

    def end(self, reason):
        """Kill it, and what it has started."""
        self.reason = self.reason or reason
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass

    def close(self):
        """Return (text, reason); the reason is empty for a program that succeeded."""
        try:
            status = self.process.wait(max(0.1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # it has closed its output and goes on
            self.end("no end within %g s" % self.seconds)
            status = self.process.wait()
        self.end("")  # children that hold no pipe
        self.process.stdout.close()
        self.process.stderr.close()
        text = self.answer["out"].decode("utf-8", "replace")
        if status and not self.reason:
            said = self.answer["err"].decode("utf-8", "replace").strip().splitlines() or text.strip().splitlines()
            self.reason = "exit status %d%s" % (status, ": %s" % said[-1][:200] if said else "")
        return text, self.reason


def run_all(commands, gone):
    """Run programs side by side; return ({name: text}, {name: reason}), the latter of those that failed.

    Args:
        commands: {name: (argv, seconds)}.
        gone: returns whether nobody waits for the answers any more.
    """
    return collect(start(commands), gone)


def start(commands):
    """Start programs, {name: (argv, seconds)}; return them for `collect`, which has to follow."""
    running, failed = {}, {}
    for name, (argv, seconds) in commands.items():
        try:
            running[name] = _Running(argv, seconds)
        except OSError as exc:
            failed[name] = "%s: %s" % (argv[0], exc.strerror)
    return running, failed


def collect(started, gone):
    """Return the answers of programs that were started, as `run_all`; each has its seconds from now on."""
    running, failed = started
    with selectors.DefaultSelector() as selector:
        for program in running.values():
            program.deadline = time.monotonic() + program.seconds
            for pipe in program.open:
                selector.register(pipe, selectors.EVENT_READ, program)
        while selector.get_map():
            for key, _events in selector.select(_LOOK):
                if key.data.read(key.fileobj):
                    selector.unregister(key.fileobj)
            _end_late(running.values(), gone(), selector)
    texts = {}
    for name, program in running.items():
        text, reason = program.close()
        if reason:
            failed[name] = reason
        else:
            texts[name] = text
    return texts, failed


def _end_late(programs, gone, selector):
    """End the programs whose time is over. Their pipes are not waited for: a child in another group may hold them."""
    for program in programs:
        if program.open and (gone or time.monotonic() > program.deadline):
            program.end("nobody waits for it" if gone else "no answer within %g s" % program.seconds)
            for pipe in list(program.open):
                selector.unregister(pipe)
                del program.open[pipe]

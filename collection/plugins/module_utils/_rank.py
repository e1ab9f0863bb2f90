# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: one rank's process, its two streams, and its standard input if it has one."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import MARK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._spool import Spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._stdin import Stdin

CHUNK = 256 * 1024
BULK = 4096  # bytes at once that nobody types or generates token by token
MOMENT = 0.01  # seconds
MODULES = "python"  # folder of modules that come first on the ranks' module path
STREAMS = {"stdout": wire.STDOUT, "stderr": wire.STDERR}
_F_SETPIPE_SZ = 1031  # Linux, fcntl(2); Python names it only from 3.10


class Stream:
    """One stream of a rank: pipe to disk, disk to channel.

    The pipe is always read, so a slow channel never stalls the rank. Only when the disk is full are bytes
    held in memory and the pipe left alone until they are sent: nothing is ever dropped.

    Attributes:
        fd: the reading end of the pipe, -1 once it has ended.
        sent: offset up to which bytes have gone into the channel.
        full: whether the disk is full and reading has to wait.
        tail_until: when the beginning of a line that was kept is to go all the same; 0 when none is kept.
    """

    def __init__(self, rank, name, fd, path):
        self.rank = rank
        self.name = name
        self.fd = fd
        self.sent = 0
        self.tail_until = 0.0
        self._spool = Spool(path)
        self._fresh = b""  # all that is on disk and not sent, or nothing: spares reading it back
        self._held = b""  # what the disk had no room for

    @property
    def full(self):
        return bool(self._held)

    @property
    def drained(self):
        """Whether the stream has ended and all of it has gone into the channel."""
        return self.fd < 0 and not self._held and self.sent == self._spool.end

    def read(self):
        """Take what the pipe has; return False when there is nothing to take now."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        follows = self.sent + len(self._fresh) == self._spool.end and len(self._fresh) < CHUNK
        stored = self._spool.append(data)
        self._held = data[stored:]
        self._fresh = self._fresh + data[:stored] if follows else b""
        return True

    def next_frame(self, now, congested):
        """Return the bytes of the next frame to send; b"" when there is nothing to send now.

        A little goes at once, be it a token or half a progress bar. Much goes in whole lines where it can, so that a line
        need not wait for its end in the middle of a screen, behind megabytes of others: the beginning of the last one goes
        with the rest of it, or, when that is not there yet, in a moment (see `tail_until`).

        Args:
            now: monotonic seconds.
            congested: whether the channel has not taken all there was.
        """
        data = b""
        if self.sent < self._spool.end:
            data = self._whole_lines(self._fresh or self._stored(), now, congested)
        elif self._held:
            # Goes as it is: none of it may be kept, for it is nowhere else.
            data, self._held, self.tail_until = self._held, b"", 0.0
            self._spool.skip(len(data))
        if not data:
            return b""
        frame = wire.encode(STREAMS[self.name], data, self.rank, self.sent)
        self.sent += len(data)
        return frame

    def _stored(self):
        """Return the next bytes on disk, a whole chunk if there are as many, whatever files they are in."""
        data = self._spool.read(self.sent, CHUNK)
        if len(data) < CHUNK and self.sent + len(data) < self._spool.end:
            data += self._spool.read(self.sent + len(data), CHUNK - len(data))
        return data

    def _whole_lines(self, data, now, congested):
        """Return what of `data` to send now, keeping the beginning of a line that goes on."""
        at = data.rfind(b"\n") + 1
        until, self.tail_until, self._fresh = self.tail_until, 0.0, b""
        if self.sent + len(data) < self._spool.end:
            return data[:at] or data  # the rest stands on disk, together with what follows
        if self.fd >= 0:
            if 0 < at < len(data) and (congested or len(data) >= BULK):
                self.tail_until = now + MOMENT
                data, self._fresh = data[:at], data[at:]
            elif not at and len(data) < CHUNK and now < until:
                self.tail_until = until
                data, self._fresh = b"", data
        return data

    def acknowledge(self, offset):
        """The controller has everything below `offset`."""
        self._spool.release(min(offset, self.sent))

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def forget(self):
        """Remove what is on disk."""
        self.close()
        self._spool.remove()


def stage_modules(folder, sources):
    """Write Python modules that ranks are to find before all others, by file name."""
    if sources:
        os.mkdir(os.path.join(folder, MODULES), 0o700)
    for name, source in sources.items():
        with open(os.path.join(folder, MODULES, name), "x", encoding="utf-8") as out:
            out.write(source)


def stage(files, folder):
    """Write what all ranks of this host read, so that a full disk shows before any rank runs anywhere.

    Args:
        files: content by the name of the variable that will hold the path.
        folder: the job's directory on this host.

    Returns the paths by the same names; may raise OSError.
    """
    paths = {name: os.path.join(folder, name) for name in files}
    for name, path in paths.items():
        # In a directory of this user's own. What is there already is what stood for this before all was decided.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as out:
            out.write(files[name])
    return paths


class RankProcess:
    """A rank: its process, which leads a session and process group of its own, and its streams.

    Args:
        plan: the rank's part of the spec: rank, argv, env; and `stdin`, "pipe" or "terminal", when it has one.
        folder: the job's directory on this host.
        files: paths of the host's files, by the variable that tells a rank of each; see `stage`.

    Attributes:
        stdin: what goes to its standard input, None when that is /dev/null.
    """

    def __init__(self, plan, folder, files):
        self.rank = plan["rank"]
        self.ended = False
        self.pid = 0
        self._plan = plan
        self._folder = folder
        self._files = files
        self.streams = []
        self.stdin = None

    def replan(self, env):
        """Take other variables than those that stood for what was not decided yet."""
        self._plan["env"] = env

    def start(self, cwd, environment, affinity=()):
        """Start the process; raise OSError when it cannot be.

        Args:
            cwd: its working directory.
            environment: what its own variables are added to.
            affinity: processors it is to run on, where mpirun has bound it to some.
        """
        env = dict(environment, **self._plan["env"])
        env.update(self._files)
        modules = os.path.join(self._folder, MODULES)
        if os.path.isdir(modules):
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (modules, env.get("PYTHONPATH"))))
        env[MARK] = environment[MARK]  # by which the job's processes are found: nobody's to change
        path = _search(self._plan["argv"][0], env, cwd)
        theirs = self._terminal() if self._plan.get("stdin") == "terminal" else self._pipes()
        failed_read, failed_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            if affinity:
                _bind(affinity)
            _become_rank(path, self._plan["argv"], env, cwd, theirs, failed_write)
        for fd in {*theirs, failed_write}:
            os.close(fd)
        reason = os.read(failed_read, 16)
        os.close(failed_read)
        if reason:
            raise OSError(int(reason), os.strerror(int(reason)), path)

    def _pipes(self):
        """Return the rank's ends of stdin, stdout and stderr."""
        if self._plan.get("stdin") == "pipe":
            stdin, write = os.pipe()
            os.set_blocking(write, False)
            self.stdin = Stdin(self.rank, write, self._path("stdin"))
        else:
            stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return (stdin, *[self._pipe(name) for name in STREAMS])

    def _pipe(self, name):
        read, write = os.pipe()
        try:
            fcntl.fcntl(read, _F_SETPIPE_SZ, 1024 * 1024)
        except OSError:
            pass  # not Linux, or over the user's limit: the default works as well
        self._add_stream(name, read)
        return write

    def _terminal(self):
        """Return the rank's end of a pseudo terminal, thrice. What it prints on either stream comes as stdout."""
        ours, theirs = os.openpty()
        self._add_stream("stdout", ours)
        # A descriptor of its own: one is watched for reading, the other for writing.
        self.stdin = Stdin(self.rank, os.dup(ours), self._path("stdin"), terminal=True)
        self.resize(self._plan.get("screen"))
        return theirs, theirs, theirs

    def resize(self, screen):
        """Give its terminal a size (columns, lines); the kernel tells the rank by SIGWINCH."""
        if screen and self.stdin and self.stdin.terminal and self.stdin.fd >= 0:
            import termios  # only where there is a terminal

            fcntl.ioctl(self.stdin.fd, termios.TIOCSWINSZ, struct.pack("HHHH", screen[1], screen[0], 0, 0))

    def _add_stream(self, name, fd):
        os.set_blocking(fd, False)
        self.streams.append(Stream(self.rank, name, fd, self._path(name)))

    def _path(self, name):
        return os.path.join(self._folder, "rank%d.%s" % (self.rank, name))

    def forget(self):
        """Close and remove what its streams have on disk."""
        for stream in self.streams:
            stream.forget()
        if self.stdin:
            self.stdin.close()


def _search(program, env, cwd):
    """Return the path to execute, found as a shell would with the rank's own PATH."""
    if "/" in program:
        return os.path.join(cwd, program)
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(errno.ENOENT, "not found in PATH", program)


def _bind(affinity):
    try:
        os.sched_setaffinity(0, affinity)
    except OSError:
        pass  # some of them are gone meanwhile: the rank runs anywhere


def _become_rank(path, argv, env, cwd, streams, failed):
    """Turn this child into the rank. Never returns.

    Only system calls here and no shell: on macOS, SIP strips DYLD_* when a protected program is in between.
    """
    try:
        os.setsid()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        if os.isatty(0):
            _own_terminal()
        os.chdir(cwd)
        # Python ignores these, and a rank must not inherit that.
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execve(path, argv, env)
    except OSError as exc:
        os.write(failed, b"%d" % (exc.errno or errno.EIO))
    finally:
        os._exit(127)


def _own_terminal():
    """Make standard input the controlling terminal of this session, so that Ctrl-C and job control work."""
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

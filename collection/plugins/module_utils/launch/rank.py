# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rank's process, its output streams, and its standard input if it has one."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import open_files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.programs import find_program
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stdin_feed import RankStdin
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stream import STREAMS, Stream
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean.signals import signal
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK

MODULES = "python"  # folder of modules that come first on the ranks' module path
_FIXED = {signal.SIGKILL, signal.SIGSTOP}
_F_SETPIPE_SZ = 1031  # Linux, fcntl(2); Python names it only from 3.10


def stage_modules(folder, sources):
    """Write the Python modules that ranks find before all others, by file name."""
    if sources:
        os.mkdir(os.path.join(folder, MODULES), 0o700)
    for name, source in sources.items():
        with open(os.path.join(folder, MODULES, name), "x", encoding="utf-8") as out:
            out.write(source)


def stage(files, folder):
    """Write the files that all ranks of this host read, so that a full disk shows before any rank runs anywhere.

    Args:
        files: content by the name of the variable that will hold the path.
        folder: the job's directory on this host.

    Returns:
        The paths by the same names.

    Raises:
        OSError: naming the file that cannot be written.
    """
    paths = {name: os.path.join(folder, name) for name in files}
    for name, path in paths.items():
        # In a directory of this user's own. An earlier content is the one from before the ports were decided.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as out:
            out.write(files[name])
    return paths


class RankProcess:
    """A rank: its process, which leads a session and process group of its own, and its streams.

    Args:
        spec: the rank's part of the specification, a `RankSpec`.
        folder: the job's directory on this host.
        files: paths of the host's files, by the variable that tells a rank of each; see `stage`.
        room: what the output of all ranks here may take on disk, a `Room`.

    Attributes:
        rank: its number.
        pid: its process id, 0 before it is started.
        ended: whether it has ended.
        streams: its output streams.
        stdin: the way to its standard input, None when that is /dev/null.
    """

    def __init__(self, spec, folder, files, room=None):
        self.rank = spec.rank
        self.ended = False
        self.pid = 0
        self._spec = spec
        self._folder = folder
        self._files = files
        self._room = room
        self.streams = []
        self.stdin = None

    def replan(self, env):
        """Take the variables for the ports and addresses that were decided."""
        self._spec = self._spec.replace(env=dict(self._spec.env, **env))

    def start(self, cwd, environment, affinity=()):
        """Start the process; raise OSError when it cannot be.

        Args:
            cwd: its working directory.
            environment: the variables that its own are added to.
            affinity: processors it is to run on, where mpirun has bound it to some.
        """
        env = dict(environment, **self._spec.env)
        env.update(self._files)
        modules = os.path.join(self._folder, MODULES)
        if os.path.isdir(modules):
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (modules, env.get("PYTHONPATH"))))
        env[MARK] = environment[MARK]  # by which the job's processes are found: nobody's to change
        path = find_program(self._spec.argv[0], cwd, env)
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._spec.argv[0])
        theirs = self._terminal() if self._spec.stdin == "terminal" else self._pipes()
        failed_read, failed_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if affinity:
                    _bind(affinity)
                _become_rank(path, self._spec.argv, env, cwd, theirs, failed_write)
            finally:
                os._exit(127)  # whatever happened: two processes must not go on as the supervisor
        for fd in {*theirs, failed_write}:
            os.close(fd)
        reason = os.read(failed_read, 16)
        os.close(failed_read)
        if reason:
            raise OSError(int(reason), os.strerror(int(reason)), path)

    def _pipes(self):
        """Return the rank's ends of stdin, stdout and stderr."""
        if self._spec.stdin == "pipe":
            stdin, write = os.pipe()
            os.set_blocking(write, False)
            self.stdin = RankStdin(self.rank, write, self._path("stdin"))
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
        """Return the rank's end of a pseudo terminal, thrice. All its output comes as stdout."""
        ours, theirs = os.openpty()
        self._add_stream("stdout", ours)
        # A descriptor of its own: one is watched for reading, the other for writing.
        self.stdin = RankStdin(self.rank, os.dup(ours), self._path("stdin"), terminal=True)
        self.resize(self._spec.screen)
        return theirs, theirs, theirs

    def resize(self, screen):
        """Give its terminal a size (columns, lines); the rank gets a SIGWINCH from the kernel."""
        if screen and self.stdin and self.stdin.terminal and self.stdin.fd >= 0:
            import termios  # only where there is a terminal

            fcntl.ioctl(self.stdin.fd, termios.TIOCSWINSZ, struct.pack("HHHH", screen[1], screen[0], 0, 0))

    def _add_stream(self, name, fd):
        os.set_blocking(fd, False)
        self.streams.append(Stream(self.rank, name, fd, self._path(name), self._room))

    def _path(self, name):
        return os.path.join(self._folder, "rank%d.%s" % (self.rank, name))

    def forget(self):
        """Close its streams and remove their files."""
        for stream in self.streams:
            stream.forget()
        if self.stdin:
            self.stdin.close()


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
        # What Python ignores, or whoever started it (nohup, a script's `&`) has ignored or blocked, is not for a rank.
        for number in signal.valid_signals() - _FIXED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        open_files.restore()
        os.execve(path, argv, env)
    except OSError as exc:
        os.write(failed, b"%d" % (exc.errno or errno.EIO))
    finally:
        os._exit(127)


def _own_terminal():
    """Make standard input the controlling terminal of this session, so that Ctrl-C and job control work."""
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

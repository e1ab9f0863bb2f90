# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of mpirun on this host: mpirun itself or its daemon, and the shims it starts for ranks and for ssh.

mpirun wires the ranks up; it neither starts them nor sees their output. In place of a rank it starts a shim. That hands
the rank's environment to the supervisor, and returns the rank's exit code. So ranks of MPI have the
same parent, the same pipes and the same end as all others.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import shared_memory
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import Ender, mpi_mark
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.mpi_shim import SOCKET, is_ours
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK

AGENT = "{agent}"  # in mpirun's arguments: the program that takes the place of ssh
PATIENCE = 3.0  # seconds for mpirun and its daemons to end by themselves when all ranks have
# Where Open MPI is to put memory that ranks of a host share: the name of the fourth series, which the fifth knows as well.
_BACKING = "OMPI_MCA_btl_vader_backing_directory"
# Variables of an allocation, or of another mpirun, around this host: mpirun would start its daemons by that one's means.
_OF_OTHERS = ("SLURM", "PBS_", "LSB_", "PMI_", "PMIX_NAMESPACE", "PMIX_RANK", "PMIX_SERVER", "OMPI_COMM_WORLD", "OMPI_UNIVERSE", "PRTE_L")
_MOST = 16 * 1024 * 1024  # bytes in the message of a shim


class ShimServer:
    """The socket in the job's folder, by which shims reach the supervisor.

    Args:
        folder: the job's folder here.
        selector: gets descriptors whose data is the method to call when they are readable.
        on_host: called with (number, host, words) for a command that mpirun wants run on another host; see `answer`.
        on_rank: called with (rank, environment, affinity) when mpirun wants a rank; returns whether there will be one.
    """

    def __init__(self, folder, selector, on_host, on_rank):
        self._folder = folder
        self._selector = selector
        self._on_host = on_host
        self._on_rank = on_rank
        self._socket = None
        self._links = {}  # number: a shim for ssh that waits for its answer
        self._ranks = {}  # rank: its shim, which waits for its end

    def listen(self):
        """Make the socket, and wait for shims."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            here = os.open(".", os.O_RDONLY)
        except OSError:
            here = os.open("/", os.O_RDONLY)  # it is another user's, as after become: nothing is looked for there
        try:
            os.chdir(self._folder)  # a socket's name is short, its path need not be
            listener.bind(SOCKET)
        finally:
            os.fchdir(here)
            os.close(here)
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selecting.EVENT_READ, self._accept)
        self._socket = listener

    def _accept(self):
        try:
            link, _address = self._socket.accept()
        except OSError:
            return
        if not is_ours(link):
            link.close()
            return
        link.setblocking(False)
        said = bytearray()
        self._selector.register(link, selecting.EVENT_READ, lambda: self._hear(link, said))

    def _hear(self, link, said):
        try:
            data = link.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        said += data
        if data and len(said) < _MOST and b"\n" not in said:
            return
        self._selector.unregister(link)
        try:
            message = json.loads(said.decode("ascii"))
        except ValueError:
            link.close()
            return
        if "host" in message:
            self._links[link.fileno()] = link
            self._on_host(link.fileno(), message["host"], message["words"])
        else:
            self._take_rank(message, link)

    def _take_rank(self, message, link):
        rank = message["rank"]
        if rank in self._ranks:
            _answer(link, 1)
            return
        self._ranks[rank] = link
        if not self._on_rank(rank, message["env"], message["affinity"]):
            self.rank_ended(rank, 1)

    def rank_ended(self, rank, code):
        """Let a rank's shim return."""
        if rank in self._ranks:
            _answer(self._ranks.pop(rank), code)

    def answer(self, number, code):
        """Let a shim for ssh return."""
        _answer(self._links.pop(number), code)

    def close(self):
        """Let go of the socket, and of shims that still wait."""
        for link in self._links.values():
            link.close()
        self._selector.unregister(self._socket)
        self._socket.close()


def _answer(link, code):
    """Let a shim return `code`; it may be gone."""
    try:
        link.send(b"%d\n" % code)
    except OSError:
        pass
    link.close()


class MpiSide:
    """The services of MPI on this host, mpirun or its daemon, and the environment they give to ranks.

    Its attributes beyond twelve are the deadline and the patience for the services, once the ranks are gone.

    Args:
        folder: the job's folder here.
        mark: of the job's ranks here.
        selector: gets descriptors whose data is the method to call when they are readable.
        send: sends a control message: kind, message.
        on_rank: called with (rank, environment, affinity) when mpirun wants a rank; returns whether there will be one.
        shim: source of the shim.
    """

    def __init__(self, folder, mark, selector, send, on_rank, shim):
        self._folder = folder
        self._shim = shim
        self._mark = mpi_mark(mark)
        self._selector = selector
        self._send = send
        self._on_rank = on_rank
        self._shims = ShimServer(folder, selector, self._on_host, self._start_rank)
        self._services = {}  # process id: name, output
        self._libmpi = ""
        self._memory = ""
        self._ender = None
        self._ranks_gone = False
        self._limit = None  # seconds for mpirun to end once the ranks are gone; None while the job runs
        self._deadline = None

    def open(self):
        """Make the directories and the socket that the services need."""
        self._memory = shared_memory.make(self._folder)
        self._shims.listen()

    # -- shims

    def _on_host(self, number, host, words):
        self._send(wire.WANTED, {"id": number, "host": host, "words": words})

    def _start_rank(self, rank, env, affinity):
        return self._on_rank(rank, self._rank_environment(env), affinity)

    def _rank_environment(self, env):
        env.pop("TMPDIR", None)  # ours, by which the shim found this supervisor
        if "TMPDIR" in os.environ:
            env["TMPDIR"] = os.environ["TMPDIR"]
        env["MLX_MPI_LIBNAME"] = self._libmpi
        if self._memory:
            env[_BACKING] = self._memory
        if sys.platform == "darwin":
            # Here, as a protected program between this and the rank would lose it.
            env["DYLD_LIBRARY_PATH"] = os.path.dirname(self._libmpi)
        return env

    def rank_ended(self, rank, code):
        """Let a rank's shim return."""
        self._shims.rank_ended(rank, code)

    def answer(self, number, code):
        """Let a shim for ssh return."""
        self._shims.answer(number, code)

    # -- mpirun and its daemon

    def begin(self, decided):
        """Take the library, and mpirun's command line where it runs, which were decided when every host was ready."""
        self._libmpi = decided["libmpi"]
        if "mpirun" in decided:
            self.start("mpirun", decided["mpirun"])

    def start(self, name, argv, env=None):
        """Start mpirun, or its daemon, with variables that come on top."""
        argv = [self._agent() if word == AGENT else word for word in argv]
        environment = {variable: value for variable, value in os.environ.items() if not variable.startswith(_OF_OTHERS)}
        for variable, value in (env or {}).items():
            earlier = os.environ.get(variable) if variable.endswith("LIBRARY_PATH") else None
            environment[variable] = "%s:%s" % (value, earlier) if earlier else value
        environment.update({MARK: self._mark, "TMPDIR": self._folder})
        read, write = os.pipe()
        os.set_blocking(read, False)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_DUP2, write, 2),
        ]
        signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        try:
            pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions, setpgroup=0, setsigdef=signals, setsigmask=())
        except OSError as exc:
            os.close(read)
            self._send(
                wire.EXITED_SERVICE, {"name": name, "code": 127, "signal": 0, "error": "cannot start %s: %s" % (argv[0], exc.strerror)}
            )
            return
        finally:
            os.close(write)
        self._services[pid] = (name, read)
        self._selector.register(read, selecting.EVENT_READ, lambda: self._read(name, read))

    def _agent(self):
        """Write the program that takes the place of ssh; return its command."""
        path = os.path.join(self._folder, "agent")
        command = [sys.executable, "-I", "-S", "-c", self._shim, "host", self._folder]
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as out:
            out.write('exec %s "$@"\n' % " ".join(shlex.quote(word) for word in command))
        return "/bin/sh %s" % path

    def _read(self, name, fd):
        """Send the output of mpirun or its daemon; return whether there was any."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._send(wire.SAID, {"name": name, "text": data.decode("utf-8", "replace")})
        elif fd in self._selector.get_map():
            self._selector.unregister(fd)
        return bool(data)

    def reaped(self, pid, code):
        """Take notice that a child has ended; return whether it was one of these. `code` is negative for a signal."""
        if pid not in self._services:
            return False
        name, fd = self._services.pop(pid)
        while fd in self._selector.get_map() and self._read(name, fd):
            pass
        if fd in self._selector.get_map():
            self._selector.unregister(fd)  # a process of its own holds the other end
        os.close(fd)
        self._send(wire.EXITED_SERVICE, {"name": name, "code": max(code, 0), "signal": max(-code, 0), "error": ""})
        return True

    # -- the end

    def hurry(self, now, grace):
        """The job is being ended: once the ranks are gone have patience, but without grace none."""
        self._limit = PATIENCE if grace else 0.0
        if self._ranks_gone:
            self._deadline = now + self._limit

    def over(self, now):
        """The ranks here are gone: return whether mpirun and its daemon are as well; end them when patience is."""
        if not self._ranks_gone:
            self._ranks_gone = True
            self._deadline = None if self._limit is None else now + self._limit
        if not self._ender:
            if self._services and (self._deadline is None or now < self._deadline):
                return False
            self._ender = Ender(self._mark, set(self._services), 1.0, now)
        return now >= self._ender.next_look and self._ender.look(now)

    def next_look(self):
        """Return when `over` has something to do, or None: when a child ends."""
        return self._ender.next_look if self._ender else self._deadline

    def close(self):
        """Let go of everything."""
        self._shims.close()
        try:
            shared_memory.remove(self._folder)
        except OSError:
            pass  # somebody is in the way of cleaning up; the end of the folder tries again

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what a job leaves on disk here, and taking up after a lost channel.

While a job runs its folder is locked, by the supervisor and by the guard; the lock comes free when both are
gone and so all processes of the job are. The folder is removed when the controller has everything.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import end_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._rank import CHUNK, STREAMS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._spool import Spool


def folder_of(job, index):
    """Return the folder of a job on this host; `index` tells apart hosts that are one machine."""
    # Made with mode 0700, and refused when it exists: nobody else can have prepared it.
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", "mlxlaunch-%s-%d" % (job, index))  # noqa: S108 - see above


def mark_of(spec):
    """Return the value of `MARK` in the environment of this host's ranks; hosts that are one machine must not end each other's."""
    return "%s.%d" % (spec["job"], spec["index"])


def sweep(parent, age=86400.0):
    """Remove folders of jobs long over, which a host that lost its power, say, could not remove itself."""
    for name in os.listdir(parent):
        folder = os.path.join(parent, name)
        try:
            if name.startswith("mlxlaunch-") and os.stat(folder).st_uid == os.getuid() and os.stat(folder).st_mtime < time.time() - age:
                status = Status.reopen(folder, 0.0)
                if status:
                    status.remove()
        except OSError:
            continue  # in use, or gone meanwhile


class Status:
    """The job's folder on this host, and how its ranks ended."""

    def __init__(self, folder, lock):
        self.folder = folder
        self._lock = lock
        self._ranks = {}

    @classmethod
    def create(cls, folder):
        """Make the folder, for this user only; raise OSError when it cannot be made or exists."""
        os.mkdir(folder, 0o700)
        lock = os.open(os.path.join(folder, "lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(folder, lock)

    @classmethod
    def reopen(cls, folder, patience):
        """Return the status an earlier supervisor left, once it is gone; None when there is no folder.

        Args:
            patience: seconds to wait for it.
        """
        try:
            lock = os.open(os.path.join(folder, "lock"), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return None
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        status = cls(folder, lock)
        status._ranks = status._load()
        return status

    def _load(self):
        try:
            with open(os.path.join(self.folder, "status.json"), encoding="utf-8") as source:
                return {int(rank): how for rank, how in json.load(source).items()}
        except (OSError, ValueError):
            return {}

    @property
    def ranks(self):
        """How each rank that has ended did."""
        return self._ranks

    def exited(self, rank, how):
        """Remember how a rank ended."""
        self._ranks[rank] = how

    def save(self):
        """Write it down for a recovery; a full disk costs the exit codes, not the output."""
        try:
            with open(os.path.join(self.folder, "status.json"), "w", encoding="utf-8") as out:
                json.dump(self._ranks, out)
        except OSError:
            pass

    def remove(self):
        """Remove the folder and what is in it, and what ranks shared in memory."""
        free_shared_memory(self.folder)
        _remove(self.folder)


def shared_memory_of(folder):
    """Return the directory in memory for what the ranks of a job share, by the job's folder. A rank that is killed leaves it there."""
    return os.path.join("/dev/shm", os.path.basename(folder))  # noqa: S108 - made with mode 0700, and never found


def free_shared_memory(folder):
    """Remove that directory, if there is one."""
    memory = shared_memory_of(folder)
    if os.path.isdir(memory) and not os.path.islink(memory):
        _remove(memory)


def _remove(top):
    for folder, folders, files in os.walk(top, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in folders:
            path = os.path.join(folder, name)
            (os.unlink if os.path.islink(path) else os.rmdir)(path)
    os.rmdir(top)


class Recovery:
    """Bring what a lost channel did not: the rest of the output, the exits, and that nothing is left running."""

    def __init__(self, spec, channel):
        self._spec = spec
        self._channel = channel
        self.status = None

    def run(self):
        """Wait for the earlier supervisor to be gone, then tell everything."""
        folder = folder_of(self._spec["job"], self._spec["index"])
        try:
            self.status = Status.reopen(folder, self._spec["patience"])
        except OSError as exc:
            self._channel.tell(wire.REFUSED, {"problems": ["the earlier supervisor is still at work: %s" % exc.strerror]})
            return
        left = end_all(mark_of(self._spec), set(), 0)
        for rank, have in self._spec["have"].items():
            self._tell_rank(int(rank), have)
        self._channel.tell(wire.DONE, {"left": {str(pid): name for pid, name in left.items()}, "known": self.status is not None})

    def _tell_rank(self, rank, have):
        if self.status is None:
            return
        for name, kind in STREAMS.items():
            self._tell_stream(rank, kind, Spool.reopen(os.path.join(self.status.folder, "rank%d.%s" % (rank, name))), have[name])
        if rank in self.status.ranks:
            self._channel.tell(wire.EXITED, self.status.ranks[rank], rank)

    def _tell_stream(self, rank, kind, spool, offset):
        while offset < spool.end:
            data = spool.read(offset, CHUNK)
            if not data:
                offset = spool.after_gap(offset)
                continue
            self._channel.send(wire.encode(kind, data, rank, offset))
            self._channel.flush(wait=True)
            offset += len(data)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hold on a job's folder, and the record of how its ranks ended."""

from __future__ import annotations

import fcntl
import os
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import shared_memory
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import (
    LOCK,
    folder_name,
    is_job_folder,
    open_folder,
    remove_folder,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.place import open_parent, parents
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json

_RECORD = "status.json"
_POLL = 0.02  # seconds between two looks at a lock
_AGE = 86400.0  # seconds that the folder of a job that is over is kept
_NUMBER = 20  # of such folders, the newest


class Status:
    """A job's folder on this host, locked by this process, and how its ranks ended.

    Attributes:
        folder: its path.
        lock: descriptor that holds its lock.
        ranks: how each rank that has ended did: {rank: {code, signal, ...}}.
    """

    def __init__(self, folder, lock):
        self.folder = folder
        self.lock = lock
        self.ranks = {}

    @classmethod
    def make(cls, job, index):
        """Make the folder of a job on this host, at the first place where that works; remove what is too old there.

        Raises:
            OSError: it can be made nowhere; naming the first place.
        """
        first = None
        for parent in parents():
            folder = os.path.join(parent, folder_name(job, index))
            try:
                os.close(open_parent(parent, make=True))
                sweep(parent)
                return cls.create(folder)
            except FileExistsError:
                raise
            except OSError as exc:
                if not os.path.isabs(exc.filename or ""):
                    exc.filename = folder
                first = first or exc
        raise first

    @classmethod
    def create(cls, folder):
        """Make the folder, for this user only; raise OSError when it cannot be made or exists."""
        os.mkdir(folder, 0o700)
        try:
            lock = os.open(os.path.join(folder, LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            remove_folder(folder)
            raise
        return cls(folder, lock)

    @classmethod
    def reopen(cls, folder, patience):
        """Return the status an earlier supervisor left, once it is gone; None when there is no folder.

        Args:
            patience: seconds to wait for it.
        """
        try:
            lock = _open_lock(folder)
        except OSError:
            return None
        _acquire(lock, time.monotonic() + patience)
        status = cls(folder, lock)
        status.ranks = status._load()
        return status

    def _load(self):
        try:
            with open(os.path.join(self.folder, _RECORD), encoding="utf-8") as source:
                return {int(rank): how for rank, how in plain_json.loads(source.read()).items()}
        except (OSError, ValueError):
            return {}

    def exited(self, rank, how):
        """Remember how a rank ended."""
        self.ranks[rank] = how

    def save(self):
        """Write the record for a recovery; a full disk costs the exit codes, not the output."""
        try:
            with open(os.path.join(self.folder, _RECORD), "w", encoding="utf-8") as out:
                out.write(plain_json.dumps(self.ranks))
        except OSError:
            pass

    def remove(self):
        """Remove the folder and everything in it, and the memory that ranks shared."""
        try:
            shared_memory.remove(self.folder)
        except OSError:
            pass  # a process that could not be ended still uses it
        remove_folder(self.folder)


def _open_lock(folder):
    """Return a descriptor of the file that is locked, in a folder that this user has made."""
    fd = open_folder(folder)
    try:
        return os.open(LOCK, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)


def _acquire(lock, deadline):
    """Lock a file as soon as its holder is gone; close it and raise OSError when that lasts beyond the deadline."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise
            time.sleep(_POLL)


def sweep(parent, age=_AGE, number=_NUMBER):
    """Remove folders of jobs that are over, which a host that lost its power, for example, could not remove itself.

    Args:
        age: seconds since their last change.
        number: of folders to keep that are younger.
    """
    folders = [os.path.join(parent, name) for name in os.listdir(parent) if is_job_folder(name)]
    changed = sorted(((_changed(folder), folder) for folder in folders), reverse=True)
    for position, (when, folder) in enumerate(changed):
        if position >= number or when < time.time() - age:
            _remove_if_over(folder)


def _changed(folder):
    try:
        return os.lstat(folder).st_mtime
    except OSError:
        return 0.0  # gone meanwhile


def _remove_if_over(folder):
    try:
        status = Status.reopen(folder, 0.0)
    except OSError:
        return  # in use
    if status:
        try:
            status.remove()
        except OSError:
            pass  # gone meanwhile, or somebody is in the way
        os.close(status.lock)

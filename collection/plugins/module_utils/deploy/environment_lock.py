# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock on an environment while it is built or removed; see host/flock.py."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import PRIVATE, make_folders


def mark_of(path):
    """Return the value of `_processes.MARK` in the environment of processes that build at a path."""
    import hashlib  # OpenSSL, which is slow to load: only a build needs it

    return "env-%s" % hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


class EnvLock:
    """An exclusive lock of one environment; ends as a context, by `release`, or with the process."""

    def __init__(self, path, fd):
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path, progress):
        """Return the lock once no other deploy has it.

        Raises:
            lock.InUse: a running job uses the environment.
            OSError: the lock cannot be made.
        """
        folder = os.path.dirname(path)
        make_folders(os.path.dirname(folder))
        make_folders(folder, PRIVATE)
        return cls(path, lock.exclusive(path, progress))

    @classmethod
    def try_take(cls, path):
        """Return the lock, or None when somebody else has it."""
        fd = lock.try_exclusive(path)
        return cls(path, fd) if fd >= 0 else None

    def forget(self):
        """Remove the lock's file, for an environment that is gone."""
        os.unlink(lock.lock_path(self.path))

    def release(self):
        """Let others have it."""
        if self._fd is not None:
            lock.release(self._fd)
        self._fd = None

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.release()

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks on directories: one deploy at a time, and no removal of a directory that a job uses.

The lock of `<folder>/<name>` is the file `<folder>/.<name>.lock`. A deploy that makes or removes the directory holds it
alone and writes its process id into it. Any number of jobs hold it together. The kernel releases it when its holder is
gone. Whoever may read the file can hold it, and so be in the way of a deploy: it is closed unless a deploy is shared.
"""

from __future__ import annotations

import fcntl
import os
import time

POLL = 0.1  # seconds between two tries
TELL = 5.0  # seconds between two lines of progress
PATIENCE = 1.0  # seconds until a lock whose holder says nothing is a job's
_PRIVATE = "it was deployed for its owner alone; for others, its owner deploys with mlx_share"


class InUse(Exception):
    """A directory that should be made or removed is used by a running job."""


def lock_path(path):
    """Return the lock of a directory."""
    folder, name = os.path.split(path.rstrip("/"))
    return os.path.join(folder, ".%s.lock" % name)


def hold(path):
    """Hold a directory for a running job; return the descriptor that holds it until it is closed.

    Raises:
        InUse: a deploy is at work on it just now.
        FileNotFoundError: it is not there.
        OSError: naming the lock, which cannot be opened.
    """
    try:
        fd = _lock(lock_path(path), fcntl.LOCK_SH)
    except PermissionError:
        # Another user has deployed, and this one may only read.
        try:
            fd = _lock(lock_path(path), fcntl.LOCK_SH, os.O_RDONLY)
        except PermissionError as exc:
            raise PermissionError(exc.errno, _PRIVATE, path) from None
    if fd < 0:
        raise InUse("%s: a deploy is at work on it; try again when it has ended" % path)
    try:
        os.stat(path)
    except OSError:
        os.close(fd)
        raise
    return fd


def try_exclusive(path):
    """Return the descriptor that holds a directory's lock alone, or -1 when somebody holds it."""
    fd = _lock(lock_path(path), fcntl.LOCK_EX)
    if fd >= 0:
        _say(fd, "process %d\n" % os.getpid())
    return fd


def exclusive(path, progress=None):
    """Return the descriptor that holds a directory's lock alone; wait while another deploy has it.

    Args:
        progress: called with a line of text while this waits; what it raises ends the wait.

    Raises:
        InUse: a running job holds it, which may take days.
        OSError: naming the lock, which cannot be opened.
    """
    told, quiet = 0.0, 0
    while True:
        fd = try_exclusive(path)
        if fd >= 0:
            return fd
        holder = _holder(lock_path(path))
        # Between taking the lock and saying so is a moment.
        quiet = 0 if holder else quiet + 1
        if quiet * POLL > PATIENCE:
            raise InUse("%s is used by a running job; end it, or wait until it has ended" % path)
        if progress and holder and (not told or time.monotonic() - told > TELL):
            told = time.monotonic()
            progress("waiting for another deploy of %s (%s)" % (path, holder))
        time.sleep(POLL)


def release(fd):
    """Give up a lock that was held alone."""
    _say(fd, "")
    os.close(fd)


def remove(path, fd):
    """Delete the lock of a directory that is gone; it is held alone."""
    os.unlink(lock_path(path))
    os.close(fd)


def _lock(path, how, flags=os.O_RDWR | os.O_CREAT):
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            if _is_at(fd, path):
                return fd
        except BlockingIOError:
            os.close(fd)
            return -1
        except BaseException:
            os.close(fd)
            raise
        # Its holder has deleted it meanwhile: this would be a lock that nobody else sees.
        os.close(fd)


def _is_at(fd, path):
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _say(fd, text):
    """Write the holder into a lock, for people only: a full disk may have no room for it."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode("ascii"), 0)
    except OSError:
        pass


def _holder(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "just ending"
    try:
        return os.read(fd, 100).decode("ascii", "replace").strip()
    finally:
        os.close(fd)

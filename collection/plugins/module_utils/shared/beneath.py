# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files beneath a directory, opened name by name from its descriptor: no link on the way leads elsewhere."""

from __future__ import annotations

import errno
import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LinkInTheWay(OSError):
    """A name on the way is a link; `filename` is the path to it."""


def open_folder(base, names, mode=None):
    """Return a descriptor of a directory, which the caller closes.

    Args:
        base: descriptor of the directory that it is beneath.
        names: of the directories on the way; the last is the one to open.
        mode: make those that are missing, with this mode; None for none.

    Raises:
        LinkInTheWay: one of them is a link.
        OSError: one of them is missing, or no directory. `filename` is its path, relative to `base`.
    """
    fd = os.dup(base)
    for count, name in enumerate(names, 1):
        try:
            if mode is not None:
                _make(fd, name, mode)
            fd, above = os.open(name, _FOLDER, dir_fd=fd), fd
        except OSError as exc:
            error = _explained(exc, fd, name, names[:count])
            os.close(fd)
            raise error from None
        os.close(above)
    return fd


def open_file(base, names):
    """Return a descriptor of a regular file to read from, which the caller closes, and its status.

    Raises:
        OSError: as `open_folder`; also for what is no regular file.
    """
    folder = open_folder(base, names[:-1])
    try:
        try:
            fd = os.open(names[-1], _FILE, dir_fd=folder)
        except OSError as exc:
            raise _explained(exc, folder, names[-1], names) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "is not a regular file", _path(names))
        return fd, found
    finally:
        os.close(folder)


def status(folder, name):
    """Return the status of what has a name in a directory, given its descriptor; None when nothing has it."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _make(folder, name, mode):
    try:
        os.mkdir(name, mode, dir_fd=folder)
    except FileExistsError:
        pass


def _explained(exc, folder, name, names):
    """Return an error with the path; systems have different numbers for a link in the way."""
    try:
        found = status(folder, name)
    except OSError:
        found = None
    if found and stat.S_ISLNK(found.st_mode):
        return LinkInTheWay(errno.ELOOP, "is a link", _path(names))
    return OSError(exc.errno, exc.strerror, _path(names))  # of the class that the number has


def _path(names):
    return "/".join(name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name for name in names)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The removal of files and directories that are ours.

It goes by descriptors, and closes each directory for others before it looks into it. So nobody can put a link, or a
directory from elsewhere, where one was seen a moment before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import user

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotOurs(PermissionError):
    """Something belongs to another user and stays; `filename` is its path. Everything else has been removed."""

    def __init__(self, path, uid):
        super().__init__(errno.EPERM, "belongs to %s" % user(uid), path)


def remove_tree(path):
    """Remove a file, a link or a directory with its content, writable or not; a missing path is no error.

    Raises:
        NotOurs: for the first thing below it, or itself, that belongs to another user; all else is removed.
        OSError: naming what cannot be removed.
    """
    folder, name = os.path.split(os.fsdecode(path))
    try:
        top = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        foreign = _Removal(top, folder).remove(name)
    finally:
        os.close(top)
    if foreign:
        raise NotOurs(*foreign[0])


class _Removal:
    """One removal, as a stack of the directories that are open.

    Args:
        top: descriptor of the directory that has the first name.
        path: of that directory, for messages.
    """

    def __init__(self, top, path):
        self._levels = [(top, path, [])]  # descriptor, path, names of directories that are still to be entered
        self._foreign = []  # (path, uid)

    def remove(self, name):
        """Remove a name in the top directory; return (path, uid) of what belongs to others and is still there."""
        try:
            found = os.stat(name, dir_fd=self._levels[0][0], follow_symlinks=False)
        except FileNotFoundError:
            return []
        try:
            self._take(name, found)
            while len(self._levels) > 1 or self._levels[0][2]:
                fd, path, waiting = self._levels[-1]
                if waiting:
                    self._enter(fd, path, waiting.pop())
                else:
                    self._leave()
        finally:
            for fd, _path, _waiting in self._levels[1:]:
                os.close(fd)
        return self._foreign

    def _take(self, name, found):
        """Remove what is no directory; note a directory for later, and what belongs to another user."""
        fd, path, waiting = self._levels[-1]
        if found.st_uid != os.geteuid():
            self._foreign.append((os.path.join(path, name), found.st_uid))
        elif stat.S_ISDIR(found.st_mode):
            waiting.append(name)
        else:
            with _named(path, name):
                os.unlink(name, dir_fd=fd)

    def _enter(self, parent, path, name):
        with _named(path, name):
            fd = _open_closed(parent, name)
            self._levels.append((fd, os.path.join(path, name), []))
            with os.scandir(fd) as items:
                found = [(item.name, item.stat(follow_symlinks=False)) for item in items]
        for each, status in found:
            self._take(each, status)

    def _leave(self):
        fd, path, _waiting = self._levels.pop()
        os.close(fd)
        parent, above, _rest = self._levels[-1]
        name = os.path.basename(path)
        with _named(above, name):
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self._foreign:
                    raise


def _open_closed(parent, name):
    """Return the descriptor of a directory of ours, which from now on only we can change."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        # Nobody else can exchange it: the directory it is in is closed already, or above what a deploy makes.
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user by now")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(fd, 0o700)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def _named(path, name):
    """Let an OSError name the whole path."""
    try:
        yield
    except OSError as exc:
        exc.filename = os.path.join(path, name)
        raise

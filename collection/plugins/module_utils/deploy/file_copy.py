# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a file from one version to another: a clone where the file system makes one, else its bytes.

A clone shares blocks until one side is written to, and never an inode.
"""

from __future__ import annotations

import errno
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import BLOCK, write_all

_CHUNK = 1 << 30  # bytes the kernel copies at a time
_HERE = -2  # AT_FDCWD of macOS
_NO_OWNER = 2  # CLONE_NOOWNERCOPY of sys/clonefile.h
# The file system, or the kernel, has no such way; see copy_file_range(2) and clonefile(2).
_NO_SUCH_WAY = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EBADF)


def copy_file(source, path, mode, mtime_ns):
    """Copy a file's content to a path where nothing is, with a mode and a time of its own; links are not followed."""
    fd_in = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fd_out = _clone(fd_in, path)
        try:
            if fd_out < 0:
                fd_out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                _copy(fd_in, fd_out, path)
            os.fchmod(fd_out, mode)
            os.utime(fd_out, ns=(mtime_ns, mtime_ns))
        finally:
            if fd_out >= 0:
                os.close(fd_out)
    finally:
        os.close(fd_in)


def read_all(source, size):
    """Return the bytes of a file that has so many, else None; links are not followed."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        data = os.read(fd, size + 1)
    finally:
        os.close(fd)
    return data if len(data) == size else None


def _clone(fd_in, path):
    """Return the descriptor of a clone that macOS has made of a file, -1 where it makes none."""
    if os.uname().sysname != "Darwin":
        return -1
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.fclonefileat(fd_in, _HERE, os.fsencode(path), _NO_OWNER)
    except (ImportError, OSError, AttributeError):
        return -1
    if not failed:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    number = ctypes.get_errno()
    if number in _NO_SUCH_WAY:
        return -1
    raise OSError(number, os.strerror(number), path)


def _copy(fd_in, fd_out, path):
    """Copy all bytes; Linux does it without showing them to us, and as a clone on Btrfs and XFS."""
    try:
        while os.copy_file_range(fd_in, fd_out, _CHUNK):
            pass
    except AttributeError:
        pass  # macOS, or a C library that is older than this call
    except OSError as exc:
        if exc.errno not in _NO_SUCH_WAY:
            exc.filename = path  # a full disk does not say which file it was
            raise
    # The rest, if there is one: some file systems copy nothing and say that all is done.
    while True:
        block = os.read(fd_in, BLOCK)
        if not block:
            return
        write_all(fd_out, block, path)

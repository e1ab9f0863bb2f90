# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The atomic write of one file, on the host and on the controller: it is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import folders

NAME = "hostfile.json"
_VALUES = re.compile(r'"envs":\s*\[\s*"')
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_MOST = 1024 * 1024  # bytes read of what is there; no hostfile is as long


def mode_of(text):
    """Return the mode of a hostfile: one with values of variables, which may be secret, is for its owner alone."""
    return 0o600 if _VALUES.search(text) else 0o644


def place(path, text, check):
    """Let a file have this text and its mode, and the directories above it be there.

    Args:
        path: of the file. A link there is replaced, not followed.
        text: of the hostfile.
        check: change nothing, only tell what would change.

    Returns:
        {"same": whether it was so already, "before": the text that was there, "mode": its mode, None without a file}

    Raises:
        OSError: it cannot be written, in check mode too where that is known; `filename` is the path in the way.
    """
    data = text.encode("utf-8")
    before, mode = _read(path)
    wanted = mode_of(text)
    same = (before, mode) == (data, wanted)
    if not same:
        _refuse_obstacles(path)
        if not check:
            _write(path, data, wanted)
    return {"same": same, "before": before.decode("utf-8", "backslashreplace"), "mode": mode}


def complaint(path, exc):
    """Return the message for a person about a file that cannot be written."""
    where = "" if exc.filename in (None, path) else "%s: " % exc.filename
    return "cannot write %s: %s%s" % (path, where, exc.strerror or exc)


def _read(path):
    """Return content and mode of a file; (b"", None) for one that is none, or cannot be read."""
    try:
        # Nobody can make us wait, or show what a link leads to.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b"", None
        return os.read(fd, _MOST), stat.S_IMODE(found.st_mode)
    finally:
        os.close(fd)


def _refuse_obstacles(path):
    """Raise the OSError that a write would meet, as far as that can be told without one."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise _error(errno.EISDIR, path)
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise _error(errno.ENOTDIR, folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _error(errno.EACCES, folder)


def _error(number, path):
    return OSError(number, os.strerror(number), path)


def _write(path, data, mode):
    folder, name = os.path.split(path)
    folders.make_folders(folder)
    # A name of its own: the directory may be one that several hosts share, and they all write at this moment.
    fresh = os.path.join(folder, ".%s.%s.%d" % (name, os.uname().nodename, os.getpid()))
    try:
        folders.write_file(fresh, data, mode)
        os.replace(fresh, path)
    except OSError as exc:
        exc.filename, exc.filename2 = path, None
        for each in (fresh, fresh + ".new"):
            with contextlib.suppress(OSError):
                os.unlink(each)
        raise

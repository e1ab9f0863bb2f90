# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the jobs' folders on a host: the user's own, out of reach of temp cleaners, and checked.

It is below `$XDG_STATE_HOME` or `~/.local/state`, with a name of the host in it, for homes that hosts share. Where that
cannot be used it is a private directory below `$TMPDIR` or `/tmp`. A job finds its folder again in any of them.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
import sys

_STATE = "mlxlaunch/jobs"  # below the user's state directory
_TEMPORARY = "/tmp"  # noqa: S108 - the directory in it is checked
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")  # see machine-id(5); it is the same after a reboot


def parents():
    """Return the directories that may hold jobs' folders on this host, the one to use first. Nothing is looked at."""
    states = [os.environ.get("XDG_STATE_HOME", ""), *(os.path.join(home, ".local/state") for home in _homes())]
    temporary = [os.environ.get("TMPDIR", ""), _TEMPORARY]
    host = _host()
    found = [os.path.join(state, _STATE, host) for state in states if os.path.isabs(state)]
    found += [os.path.join(folder, "mlxlaunch-%d" % os.geteuid()) for folder in temporary if os.path.isabs(folder)]
    return list(dict.fromkeys(found))


def _homes():
    """Return the home directories that are there: the environment's, which may be another user's, and the account's."""
    homes = [os.environ.get("HOME", "")]
    try:
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        pass  # a container's user without an account
    return [home for home in homes if os.path.isabs(home) and os.path.isdir(home)]


def _host():
    """Return a name of this host that no reboot changes, nor another network a Mac is in."""
    name = os.uname().nodename.replace("/", "-")
    if sys.platform == "darwin":
        return _uuid()[:8] or name
    for path in _MACHINE_IDS:
        try:
            with open(path, "rb", 0) as source:  # as text, a codec would be a file to import
                # Copies of a machine may have the same id.
                return "%s-%s" % (source.read(8).decode("ascii", "replace").strip() or "host", name)
        except OSError:
            continue
    return "host-%s" % name


def _uuid():
    """Return the hardware's UUID in hexadecimal, see gethostuuid(3) of macOS; "" where it is not told."""
    import ctypes

    uuid, patience = ctypes.create_string_buffer(16), (ctypes.c_long * 2)(1, 0)
    try:
        failed = ctypes.CDLL(None).gethostuuid(uuid, patience)
    except AttributeError:
        return ""
    return "" if failed else uuid.raw.hex()


def open_parent(path, make=False):
    """Return a descriptor of one of `parents()`, every directory on the way to it checked.

    Args:
        make: whether to make the directories that are missing, for this user only.

    Raises:
        OSError: it is not there, or others may change what is in it.
    """
    top, last = os.path.split(path)
    # Links above it, such as a home directory often is, lead to directories that are checked themselves.
    words = [*filter(None, os.path.realpath(top).split("/")), last]
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, word in enumerate(words, 1):
        try:
            below = _step(fd, word, make)
        finally:
            os.close(fd)
        fd = below
        problem = _problem(os.fstat(fd), number == len(words))
        if problem:
            os.close(fd)
            raise PermissionError(errno.EPERM, problem, "/" + "/".join(words[:number]))
    return fd


def _step(fd, name, make):
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=fd)
    except FileExistsError:
        pass  # another job was quicker
    return os.open(name, flags, dir_fd=fd)


def _problem(found, private):
    """Return why a directory cannot be trusted, "" when it can."""
    user, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
    if private:
        good = found.st_uid == user and not mode & 0o077
    else:
        alone = found.st_uid == user == found.st_gid  # a group of the user's own
        writable = mode & (0o002 if alone else 0o022)
        good = found.st_uid in (0, user) and (not writable or mode & stat.S_ISVTX)
    return "" if good else "it belongs to user %d, with mode %o" % (found.st_uid, mode)

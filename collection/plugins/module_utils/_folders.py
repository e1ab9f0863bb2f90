# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: make and remove directories, copy a file. (`shutil` is slow to import.)

A path may be text or bytes.
"""

from __future__ import annotations

import os
import stat

BLOCK = 1024 * 1024  # bytes
FOR_ALL = 0o755  # mode of directories: jobs may run as other users than deploys


def names_files(function):
    """Let an OSError of a function show its path as text, not as Python's way to write bytes."""

    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except OSError as exc:
            if isinstance(exc.filename, bytes):
                exc.filename = exc.filename.decode("utf-8", "surrogateescape")
            raise

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return wrapper


def make_folders(path):
    """Make a directory and those above it, for everybody to read whatever the umask; what exists stays as it is."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        try:
            os.mkdir(each, FOR_ALL)
        except FileExistsError:
            if not os.path.isdir(each):
                raise
            continue  # another deploy was quicker
        os.chmod(each, FOR_ALL)


def remove_tree(path):
    """Remove a file, a link or a directory with all that is in it, writable or not; what is not there is no error."""
    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_folder:
        os.unlink(path)
        return
    waiting, folders = [path], []
    while waiting:
        folder = waiting.pop()
        folders.append(folder)
        if stat.S_IMODE(os.lstat(folder).st_mode) & 0o700 != 0o700:
            os.chmod(folder, 0o700)
        with os.scandir(folder) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    waiting.append(item.path)
                else:
                    os.unlink(item.path)
    for folder in reversed(folders):
        os.rmdir(folder)


def copy_file(source, path, mode, mtime_ns):
    """Copy a file's content to a path where nothing is, with a mode and a time of its own; links are not followed."""
    fd_in = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fd_out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while True:
                block = os.read(fd_in, BLOCK)
                if not block:
                    break
                _write(fd_out, block, path)
            os.fchmod(fd_out, mode)
            os.utime(fd_out, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd_out)
    finally:
        os.close(fd_in)


def make_file(path, data, mode, mtime_ns):
    """Make a file, where nothing is, with a content, a mode and a time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, data, path)
        os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(fd)


def write_file(path, data):
    """Write a file for everybody to read, whole or not at all."""
    fresh = path + ".new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(fd, 0o644)
        _write(fd, data, path)
    finally:
        os.close(fd)
    os.replace(fresh, path)


def _write(fd, data, path):
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as exc:
        exc.filename = path  # a full disk does not say which file it was
        raise

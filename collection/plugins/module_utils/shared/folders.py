# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and files: make them. (`shutil` is slow to import.)

A path may be text or bytes.
"""

from __future__ import annotations

import os

BLOCK = 1024 * 1024  # bytes
FOR_ALL, PRIVATE = 0o755, 0o700  # modes of directories


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


def make_folders(path, mode=FOR_ALL):
    """Make a directory and those above it, with this mode under any umask; existing ones stay as they are."""
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        try:
            os.mkdir(each, mode)
        except FileExistsError:
            if not os.path.isdir(each):
                raise
            continue  # another deploy was quicker
        os.chmod(each, mode)


def make_file(path, data, mode, mtime_ns):
    """Make a file, where nothing is, with a content, a mode and a time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data, path)
        os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(fd)


def write_file(path, data, mode):
    """Write a file with a mode, whole or not at all."""
    fresh = path + ".new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data, path)
    finally:
        os.close(fd)
    os.replace(fresh, path)


def write_all(fd, data, path):
    """Write all of the data to a descriptor; an error names the path."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as exc:
        exc.filename = path  # a full disk does not say which file it was
        raise

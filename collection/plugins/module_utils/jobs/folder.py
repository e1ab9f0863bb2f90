# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job keeps its files on a host, and the mark that its processes carry.

While a job runs its folder is locked, by the supervisor and by the guard. The lock comes free when both are gone, and
all processes of the job with them. The folder is removed when the controller has everything.
"""

from __future__ import annotations

import errno
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.place import open_parent, parents
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import FOLDER_FORMAT, MARK_FORMAT

LOCK = "lock"  # name of the file in a job's folder that is locked


def folder_name(job, index):
    """Return the name of a job's folder on this host; `index` tells apart hosts that are one machine."""
    return FOLDER_FORMAT % (job, index)


def find_folder(job, index):
    """Return the folder of a job on this host, None when there is none."""
    name = folder_name(job, index)
    return next((path for path in folders() if os.path.basename(path) == name), None)


def folders():
    """Return the folders of jobs on this host, wherever they are, but for directories that others may change."""
    found = []
    for parent in parents():
        try:
            fd = open_parent(parent)
        except OSError:
            continue
        try:
            found += [os.path.join(parent, name) for name in os.listdir(fd) if is_job_folder(name)]
        finally:
            os.close(fd)
    return found


def mark_of(job, index):
    """Return the value of `MARK` in the environment of this host's ranks.

    Hosts that are one machine must not end each other's ranks, hence the index.
    """
    return MARK_FORMAT % (job, index)


def is_job_folder(name):
    """Return whether the name of a directory is that of a job's folder."""
    job, _dash, index = name.rpartition("-")
    return bool(job) and index.isdigit()


def mark_of_folder(path):
    """Return the mark of the job whose folder this is."""
    job, _dash, index = os.path.basename(path).rpartition("-")
    return mark_of(job, index)


def job_of_mark(mark):
    """Return the id of the job that has this mark."""
    return mark.rpartition(".")[0]


def open_folder(path):
    """Return a descriptor of a job's folder.

    Raises:
        OSError: it is no directory, a link leads to it, or others than this user may use it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise PermissionError(errno.EPERM, "it belongs to user %d, with mode %o" % (found.st_uid, found.st_mode & 0o7777), path)
    return fd


def remove_folder(top):
    """Remove a directory of a job with everything in it. By descriptors: nobody can put a link in the way meanwhile."""
    fd = open_folder(top)
    try:
        empty(fd)
    finally:
        os.close(fd)
    os.rmdir(top)


def empty(fd):
    """Remove everything in a directory, given by descriptor."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=fd)
            continue
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            empty(below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)

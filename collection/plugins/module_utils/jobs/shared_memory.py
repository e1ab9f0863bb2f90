# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory for memory that ranks of an mpi job share: a rank that is killed leaves its part there.

It is in a place where everybody may make one. So the job's folder has a record of the one that was made, and no other
is ever removed.
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import empty, open_folder

_PLACE = "/dev/shm"  # noqa: S108 - see above
_RECORD = "memory"  # name of the file in the job's folder: device and inode


def make(folder, place=_PLACE):
    """Make the directory of the job that has this folder; return its path, "" where there is no place for it."""
    path = _path(folder, place)
    try:
        os.mkdir(path, 0o700)
    except OSError:
        return ""  # no Linux, full, or a stranger's: Open MPI then finds another place
    try:
        made = os.lstat(path)
        with open(os.path.join(folder, _RECORD), "x", encoding="ascii") as out:
            out.write("%d %d" % (made.st_dev, made.st_ino))
    except OSError:
        os.rmdir(path)
        return ""
    return path


def remove(folder, place=_PLACE):
    """Remove that directory if it is the one that was made; raise OSError when that fails."""
    try:
        with open(os.path.join(folder, _RECORD), encoding="ascii") as source:
            made = source.read()
        fd = open_folder(_path(folder, place))
    except OSError:
        return
    try:
        found = os.fstat(fd)
        if made == "%d %d" % (found.st_dev, found.st_ino):
            empty(fd)
            os.rmdir(_path(folder, place))  # by nobody else's hand could another be there: the place is sticky
    finally:
        os.close(fd)


def _path(folder, place):
    return os.path.join(place, "mlxlaunch-%s" % os.path.basename(folder))

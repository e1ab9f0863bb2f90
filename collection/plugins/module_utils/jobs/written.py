# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a job has written into its version of a project, which the next version will not have."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import lock_path
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json

_MOST = 20000  # names that are looked at: nobody waits for more at the end of a job


def time_there(root, held):
    """Return the time by the file system of a deployed project, which may be another host's: ns since 1970.

    It is that of a change made to the lock of the project. None without a project, and for one that another user has
    deployed, where a job can write nothing.

    Args:
        root: directory for all that is deployed.
        held: the deployed directories that the job uses.
    """
    tree = _project(root, held)
    if not tree:
        return None
    try:
        os.utime(lock_path(tree))
        return os.lstat(lock_path(tree)).st_ctime_ns
    except OSError:
        return None


def written(root, held, since):
    """Return the path of a file that was written into a deployed project, "" for none.

    Args:
        root: directory for all that is deployed.
        held: the deployed directories that the job has used.
        since: `time_there` before its ranks were started.
    """
    tree = _project(root, held)
    if not tree or since is None:
        return ""
    try:
        return _first(tree, _recorded(tree), since)
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # a version whose record is not readable, which the next deploy reports


def _project(root, held):
    return next((tree for tree in held if os.path.relpath(tree, root).partition(os.sep)[0] == "projects"), "")


def _recorded(tree):
    """Return the paths that were sent; see deploy/versions.py."""
    folder, name = os.path.split(tree)
    with open(os.path.join(folder, ".%s.json" % name), encoding="ascii") as file:
        return set(plain_json.loads(file.read())["entries"]["path"])


def _first(tree, recorded, since):
    left = _MOST
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.relpath(path, tree) not in recorded and name != ".DS_Store" and _changed(path) > since:
                return path
        left -= len(files)
        if left < 0:
            break
    return ""


def _changed(path):
    """Return the time of a file's last change, 0 for one that is gone by now."""
    try:
        return os.lstat(path).st_ctime_ns
    except FileNotFoundError:
        return 0

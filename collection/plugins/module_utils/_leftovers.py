# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what earlier jobs and deploys have left, and which jobs run. Changes nothing."""

from __future__ import annotations

import fcntl
import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils._lock import lock_path
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import MARK

_JOB_MARK = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}\.\d+\Z")  # see _recover.mark_of; what builds an environment has another
_RECORD = ".mlxlaunch.json"


def leftovers(root, temporary=None):
    """Return what is left here, as lists.

    Args:
        root: directory for all that is deployed.
        temporary: directory of the jobs' folders, if not the one they are made in.

    Returns:
        {jobs: folders of running jobs, folders: of jobs long gone, processes: [[pid, name, mark]] of jobs whose
        supervisor is dead, staging: transfers that broke off, environments: that were never completed}
    """
    folders = _job_folders(temporary or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - they are only looked at
    running = [path for path, alive in folders.items() if alive]
    alive = {_mark_of_folder(path) for path in running}
    marked = [item for item in marked_processes() if item[2] not in alive]
    return {
        "jobs": sorted(_mark_of_folder(path).rpartition(".")[0] for path in running),
        "folders": sorted(path for path, alive in folders.items() if not alive),
        "processes": sorted(marked),
        "staging": _staging(os.path.join(root, "projects")) if root else [],
        "environments": _incomplete(os.path.join(root, "envs")) if root else [],
    }


def _mark_of_folder(path):
    job, _dash, index = os.path.basename(path)[len("mlxlaunch-") :].rpartition("-")
    return "%s.%s" % (job, index)


def _job_folders(parent):
    """Return the folders of jobs, and of each whether somebody still holds its lock."""
    found = {}
    for name in _names(parent):
        lock = os.path.join(parent, name, "lock")
        if name.startswith("mlxlaunch-") and os.path.isfile(lock):
            found[os.path.join(parent, name)] = is_held(lock)
    return found


def is_held(lock):
    """Return whether a process holds a lock alone; one that cannot be opened is another user's, who may."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def marked_processes():
    """Return [[pid, command name, mark]] of this user's processes that belong to a job, ended ones not counted."""
    found = _from_proc() if os.path.isdir("/proc/self") else _from_ps()
    return [item for item in found if _JOB_MARK.match(item[2]) and item[0] != os.getpid()]


def _from_proc():
    for entry in _names("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/environ" % entry, "rb") as source:
                    mark = _mark_in(source.read().split(b"\0"))
                with open("/proc/%s/comm" % entry, encoding="utf-8", errors="replace") as source:
                    name = source.read().strip()
            except OSError:
                continue  # gone meanwhile, or not ours to look at
            if mark:
                yield [int(entry), name, mark]


def _mark_in(words):
    sign = MARK.encode() + b"="
    return next((word[len(sign) :].decode("utf-8", "replace") for word in words if word.startswith(sign)), "")


def _from_ps():
    import subprocess  # only where there is no /proc: it is slow to import

    # -E shows the environment of one's own processes after their command, see ps(1) of macOS.
    listing = subprocess.run(["/bin/ps", "-axwwE", "-o", "pid=,stat=,command="], stdout=subprocess.PIPE, check=False)
    return parse_ps(listing.stdout)


def parse_ps(listing):
    """Return [[pid, command name, mark]] from `ps -o pid=,stat=,command=` with environments shown, as bytes."""
    found = []
    for line in listing.splitlines():
        fields = line.split(None, 2)
        if len(fields) == 3 and not fields[1].startswith(b"Z"):
            words = fields[2].split()
            mark = _mark_in(words)
            if mark:
                found.append([int(fields[0]), os.path.basename(words[0]).decode("utf-8", "replace"), mark])
    return found


def _staging(folder):
    found = []
    for project in _names(folder):
        for name in _names(os.path.join(folder, project)):
            if name.startswith(".part-"):
                version = os.path.join(folder, project, name[len(".part-") :])
                if not is_held(lock_path(version)):
                    found.append(os.path.join(folder, project, name))
    return sorted(found)


def _incomplete(folder):
    paths = [os.path.join(folder, name) for name in _names(folder) if not name.startswith(".")]
    return sorted(path for path in paths if not os.path.exists(os.path.join(path, _RECORD)) and not is_held(lock_path(path)))


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []

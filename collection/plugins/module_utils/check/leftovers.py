# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running jobs, and everything that earlier jobs and deploys have left. Nothing is changed."""

from __future__ import annotations

import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import lock_path
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import LOCK, folders, job_of_mark, mark_of_folder
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process_table import is_program_of_ours, take_table
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.running import is_held
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK_FORMAT, MARKER

# The mark of a job, see job/ids; processes that build an environment have another.
_JOB_MARK = re.compile(re.escape(MARK_FORMAT) % (r"\d{8}-\d{6}-[0-9a-f]{6}", r"\d+\Z"))


def leftovers(root):
    """Return the running jobs and the leftovers of earlier ones, as lists.

    Args:
        root: directory for all that is deployed.

    Returns:
        {jobs: running ones, folders: of jobs long gone, processes: [[pid, name, mark]] of jobs whose
        supervisor is dead, staging: transfers that broke off, environments: that were never completed}
    """
    found = {path: is_held(os.path.join(path, LOCK)) for path in folders()}
    marked, supervised = marked_processes()
    alive = supervised | {mark_of_folder(path) for path, held in found.items() if held}
    return {
        "jobs": sorted(job_of_mark(mark) for mark in alive),
        "folders": sorted(path for path, held in found.items() if not held and mark_of_folder(path) not in alive),
        "processes": sorted(item for item in marked if item[2] not in alive),
        "staging": _staging(os.path.join(root, "projects")) if root else [],
        "environments": _incomplete(os.path.join(root, "envs")) if root else [],
    }


def marked_processes():
    """Return ([[pid, command name, mark]], marks of jobs whose supervisor lives) for this user's processes of jobs.

    A supervisor is found above its ranks, wherever the job's folder is, or was.
    """
    table, mark_of = take_table()
    marks = {pid: mark_of(pid) for pid in table if pid != os.getpid()}
    marked = {pid: mark for pid, mark in marks.items() if _JOB_MARK.match(mark)}
    above = {pid: list(_ancestors(table, pid)) for pid in marked}
    ours = {pid for pid in set().union(*above.values()) if is_program_of_ours(pid)}
    supervised = {mark for pid, mark in marked.items() if ours.intersection(above[pid])}
    return [[pid, table[pid].name, mark] for pid, mark in marked.items()], supervised


def _ancestors(table, pid):
    seen = set()
    while pid in table and pid not in seen:
        seen.add(pid)
        pid = table[pid].parent
        yield pid


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
    return sorted(path for path in paths if not os.path.exists(os.path.join(path, MARKER)) and not is_held(lock_path(path)))


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []

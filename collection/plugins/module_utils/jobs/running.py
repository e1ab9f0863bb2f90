# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs that run on this host now, as the user of this program sees them."""

from __future__ import annotations

import fcntl
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import LOCK, folders, job_of_mark, mark_of_folder


def running_jobs():
    """Return the ids of running jobs: those whose folder somebody still holds."""
    return sorted(job_of_mark(mark_of_folder(path)) for path in folders() if is_held(os.path.join(path, LOCK)))


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

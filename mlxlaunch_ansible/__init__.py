# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy and launch distributed MLX jobs on a cluster of Macs.

    from mlxlaunch_ansible import run_job

    result = run_job("inventory/hosts.yml", "/opt/train.py", args=["--lr", "1e-3"])
    print(result.returncode, result.run_dir)

Importing this package is cheap: Ansible is imported when a job is started.
"""

from __future__ import annotations

from ._core import LaunchError, UsageError
from ._dry_run_command import plan_job
from ._job import Job, JobFailed, run_job, start_job
from ._result import Event, JobResult, RankResult
from ._sync import SyncFailed, SyncResult, sync

__version__ = "1.0.0"

__all__ = [
    "Event",
    "Job",
    "JobFailed",
    "JobResult",
    "LaunchError",
    "RankResult",
    "SyncFailed",
    "SyncResult",
    "UsageError",
    "__version__",
    "plan_job",
    "run_job",
    "start_job",
    "sync",
]

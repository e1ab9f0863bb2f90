# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job would be, without running it: `plan_job`, and `mlxlaunch run --dry-run`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ._core import Describer, render_plan, wants_colour
from ._inventory import Inventory
from ._job import Job, start_job


def plan_job(inventory: Inventory, script: str | os.PathLike[str] = "", **settings: Any) -> dict[str, Any]:
    """Return what a job would be. No host is asked and nothing is written.

        for rank in plan_job("inventory/hosts.yml", "train.py", backend="jaccl")["ranks"]:
            print(rank["rank"], rank["host"], rank["command"])

    Args:
        inventory, script: as for `start_job`.
        **settings: all other arguments of `start_job`. Without `verbose`, values of the user's variables are `***`.

    Returns plain data: backend, world_size, ranks (each with host, local_rank, local_size, ips, listen, argv, command,
    cwd, cwd_or_home, env), hostfile (for mlx.launch), files (content by variable), deploy (project, environment), mpirun
    (candidates, commands by series of Open MPI), and unknown: what words in angle brackets stand for, which only the hosts could tell.

    Raises:
        UsageError: inventory, hostfile or settings are wrong.
        LaunchError: Ansible itself broke.
    """
    with start_job(inventory, script, dry_run=True, **settings) as job:
        plan: dict[str, Any] = job.outcome().details["plan"]
    return plan


def show(job: Job, *, as_json: bool) -> int:
    """Print the plan on standard output, as text or as one JSON document; return the exit status."""
    describe = Describer(wants_colour(2), verbose=False)
    for event in job:
        if event.event != "job_planned" and (text := describe(event.to_json())):
            print(text, file=sys.stderr)
    plan = job.outcome().details["plan"]
    try:
        print(json.dumps(plan, indent=2, ensure_ascii=False) if as_json else render_plan(plan))
        sys.stdout.flush()
    except BrokenPipeError:  # `mlxlaunch run --dry-run ... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen of `mlxlaunch run --dry-run`: a job's plan, as text or as a document."""

from __future__ import annotations

from .._core import Describer, json_text, render_plan, wants_colour
from .._job import Job
from .terminal.screen import print_for_programs, say_described


def show(job: Job, *, as_json: bool) -> int:
    """Print the plan on standard output, as text or as one JSON document; return the exit status."""
    describe = Describer(wants_colour(2), verbose=False)
    for event in job:
        if event.event != "job_planned" and (text := describe(event)):
            say_described(text)
    plan = job.outcome().details["plan"]
    print_for_programs(json_text(plan, 2) if as_json else render_plan(plan))
    return 0

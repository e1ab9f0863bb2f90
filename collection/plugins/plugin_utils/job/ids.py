# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids of jobs."""

from __future__ import annotations

import re
import secrets
import time

#: What an id looks like; the run directory of a job is called so.
JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def new_job_id() -> str:
    """Return an id that no other job has: the time, by which a person finds it again, and a random number."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)

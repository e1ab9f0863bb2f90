# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: names for jobs."""

from __future__ import annotations

import secrets
import time


def new_job_id() -> str:
    """Return an id no other job has: the time, to be found again, and chance."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)

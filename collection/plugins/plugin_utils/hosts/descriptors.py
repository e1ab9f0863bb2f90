# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file descriptors that work on many hosts needs on the controller."""

from __future__ import annotations

import resource
from pathlib import Path

from ..job.errors import UsageError

# Of each host: the three pipes of a connection, two of a program that brings files there, four more while that starts,
# and a file that it is sent. Later the three of an agent, until a supervisor has what was deployed, and of a channel.
_EACH_HOST = 10
_SPARE = 64  # all others
OF_A_RECORD = 96  # logs that are open at once, and what shows output


def reserve(hosts: int, others: int = 0) -> None:
    """Let this process have descriptors for so many hosts: shells of macOS start with a limit of 256.

    Args:
        hosts: that are reached at once.
        others: descriptors that are needed besides.

    Raises:
        UsageError: the hard limit is lower.
    """
    needed = len(list(Path("/dev/fd").iterdir())) + _SPARE + others + _EACH_HOST * hosts
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise OSError
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):  # macOS has a limit below an infinite one
        raise UsageError(
            f"{hosts} hosts need {needed} open files here, and the limit is {hard if hard != resource.RLIM_INFINITY else soft}; "
            "raise it (ulimit -Hn, or LimitNOFILE of a service) or use fewer hosts"
        ) from None

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a launch, as its last event and the task return it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.lead.policy import Policy
from ...module_utils.lead.rank_end import RankEnd
from ..output.run_dir import log_path

TAIL_LINES = 8
_TAIL_BYTES = 4096


Hint = Callable[[Sequence[str]], str]


def no_hint(_tail: Sequence[str]) -> str:
    """Return no hint."""
    return ""


def launch_result(policy: Policy, run_dir: Path, duration: float, *, readable: bool = True, hint: Hint = no_hint) -> dict[str, Any]:
    """Return the outcome of a finished job as plain data.

    Args:
        policy: its rules, in their last state.
        run_dir: the directory with the ranks' logs.
        duration: seconds from the launch to the end.
        readable: whether that directory can be read now.
        hint: gives for the last lines of the rank that failed first what to do about it, "" for nothing.
    """
    cause, failure = policy.cause or _ended_by_itself(policy.returncode), policy.first_failure
    failed = _failure(failure, run_dir if readable else None) if failure else None
    return {
        "returncode": policy.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": policy.problems,
        "first_failure": failed,
        "hint": hint(failed["tail"]) if failed else "",
        "ranks": [rank_result(rank.rank, rank.host, policy.ends.get(rank.rank)) for rank in policy.table.ranks],
        "duration": round(duration, 3),
        "run_dir": str(run_dir),
        "cwd": policy.hosts[policy.table.ranks[0].host].facts.get("cwd", ""),
        "written": {name: host.written for name, host in policy.hosts.items() if host.written},
    }


def _ended_by_itself(returncode: int) -> Cause:
    if returncode == 0:
        return Cause("finished", 0, "all ranks returned 0")
    return Cause("incomplete", 1, "not every rank's end is known")


def rank_result(rank: int, host: str, end: RankEnd | None = None) -> dict[str, Any]:
    """Return how a rank ended as plain data; without `end`, of one that never ran."""
    return {
        "rank": rank,
        "host": host,
        "returncode": end.returncode if end else None,
        "signal": end.signal_name if end else None,
        "duration": round(end.duration, 3) if end else None,
        "stopped": end.stopped if end else False,
    }


def _failure(end: RankEnd, run_dir: Path | None) -> dict[str, Any]:
    return {**rank_result(end.rank, end.host, end), "error": end.error, "tail": tail(run_dir, end.rank) if run_dir else []}


def tail(run_dir: Path, rank: int) -> list[str]:
    """Return the last lines of a rank's stderr, or of its stdout if that is empty."""
    for stream in ("stderr", "stdout"):
        try:
            with log_path(run_dir, rank, stream).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        if any(line.strip() for line in lines):
            return lines[-TAIL_LINES:]
    return []

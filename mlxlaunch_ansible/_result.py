# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a job, as the last event reports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._core import Event, log_path

__all__ = ["Event", "JobResult", "RankResult"]


@dataclass(frozen=True)
class RankResult:
    """How one rank ended.

    Attributes:
        rank, host: its number and its host.
        returncode: exit code, 128 + n for signal n, None when it never ran or its end is not known.
        signal: name of the signal that ended it, or None.
        duration: seconds it ran, or None.
        stopped: whether it ended because the job was being ended.
        stdout, stderr: logs on this machine, or None when it never ran.
    """

    rank: int
    host: str
    returncode: int | None
    signal: str | None
    duration: float | None
    stopped: bool
    stdout: Path | None
    stderr: Path | None


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes:
        returncode: 0 when every rank returned 0; else that of the first failing rank (128 + n for signal n), 3 for a
            host that is unreachable or not ready, 124 for the time limit, 130 and 143 for interrupted and terminated.
        job: its id.
        cause: finished, rank_failed, not_ready, host_lost, timeout, interrupted, launcher_gone, output_closed,
            mpirun_failed, not_started, incomplete or internal; planned for a dry run.
        message: one line for a person.
        ranks: by number.
        first_failure: the rank that failed first, the root cause, or None.
        problems: by host, the reasons why it was not ready.
        duration: seconds from opening the connections to the last host's confirmation.
        run_dir: the record on this machine: events.jsonl, and per rank stdout.log and stderr.log.
        hint: what to do about the first failure, one line for a person, or nothing.
        written: by host, one of the files that the job has written into its version of the project.
    """

    returncode: int
    job: str
    cause: str
    message: str
    ranks: Mapping[int, RankResult]
    first_failure: RankResult | None
    problems: Mapping[str, list[str]]
    duration: float
    run_dir: Path | None
    hint: str = ""
    written: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: Event) -> JobResult:
        """Return the result in a job_finished event, or in the job_planned event of a dry run."""
        details = event.details
        if event.event == "job_planned":
            return cls(0, event.job, "planned", "nothing was run", {}, None, {}, 0.0, None)
        run_dir = Path(details["run_dir"])
        ranks = {row["rank"]: _rank_result(row, run_dir) for row in details["ranks"]}
        failure = details["first_failure"]
        return cls(
            returncode=details["returncode"],
            job=event.job,
            cause=details["cause"],
            message=details["message"],
            ranks=ranks,
            first_failure=ranks[failure["rank"]] if failure else None,
            problems=details["problems"],
            duration=details["duration"],
            run_dir=run_dir,
            hint=details.get("hint", ""),
            written=details.get("written", {}),
        )


def _rank_result(row: Mapping[str, Any], run_dir: Path) -> RankResult:
    logs = {name: log_path(run_dir, row["rank"], name) for name in ("stdout", "stderr")}
    ran = logs["stdout"].exists()
    return RankResult(
        row["rank"],
        row["host"],
        row["returncode"],
        row["signal"],
        row["duration"],
        row["stopped"],
        logs["stdout"] if ran else None,
        logs["stderr"] if ran else None,
    )

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job tells while it runs, and what is left of it when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._core import log_path

_COMMON = ("event", "job", "time", "host", "rank")


@dataclass(frozen=True)
class Event:
    """One thing that happened; docs/events.schema.json describes each kind.

    Attributes:
        event: job_started, host_ready, rank_started, rank_output, rank_exited, job_finished, and more.
        job: the job's id.
        time: seconds since 1970, by the controller's clock.
        host: inventory name, or None.
        rank: number, or None.
        data: the bytes of a rank_output, exactly as the rank wrote them.
        details: all other fields, by name.
    """

    event: str
    job: str
    time: float
    host: str | None
    rank: int | None
    data: bytes = b""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], data: bytes = b"") -> Event:
        """Return the event that a line of events.jsonl describes."""
        common = {name: fields.get(name) for name in _COMMON}
        details = {name: value for name, value in fields.items() if name not in _COMMON}
        return cls(**common, data=data, details=details)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a line of events.jsonl has them, without `data`."""
        return {**{name: getattr(self, name) for name in _COMMON}, **self.details}

    @property
    def stream(self) -> str | None:
        """`stdout` or `stderr` of a rank_output, else None."""
        return self.details.get("stream")


@dataclass(frozen=True)
class RankResult:
    """How one rank ended.

    Attributes:
        rank, host: which one, and where it ran.
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
        returncode: 0 when every rank returned 0; else the first failing rank's (128 + n for signal n), 3 for a host
            that is unreachable or not ready, 124 for the time limit, 130 and 143 for interrupted and terminated.
        job: its id.
        cause: finished, rank_failed, not_ready, host_lost, timeout, interrupted, launcher_gone, output_closed or internal;
            planned for a dry run.
        message: one line for a person.
        ranks: by number.
        first_failure: the rank that failed first, the root cause, or None.
        problems: what kept hosts from being ready, by host.
        duration: seconds from opening the connections to the last host's confirmation.
        run_dir: the record on this machine: events.jsonl, and per rank stdout.log and stderr.log.
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

    @classmethod
    def from_event(cls, event: Event) -> JobResult:
        """Return the result that a job_finished event tells, or a job_planned event for a job that was not to run."""
        told = event.details
        if event.event == "job_planned":
            return cls(0, event.job, "planned", "nothing was run", {}, None, {}, 0.0, None)
        run_dir = Path(told["run_dir"])
        ranks = {row["rank"]: _rank_result(row, run_dir) for row in told["ranks"]}
        failure = told["first_failure"]
        return cls(
            returncode=told["returncode"],
            job=event.job,
            cause=told["cause"],
            message=told["message"],
            ranks=ranks,
            first_failure=ranks[failure["rank"]] if failure else None,
            problems=told["problems"],
            duration=told["duration"],
            run_dir=run_dir,
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

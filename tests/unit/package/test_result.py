"""The outcome of a job, as its last event reports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import JobResult
from tests.unit.readers import event

RAN = {"rank": 0, "host": "a", "returncode": 7, "signal": None, "duration": 1.5, "stopped": False}
NEVER = {"rank": 1, "host": "b", "returncode": None, "signal": None, "duration": None, "stopped": False}


@pytest.fixture
def finished(tmp_path: Path) -> dict[str, Any]:
    """Give the details of a job_finished event; rank 0 has logs."""
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "stdout.log").touch()
    outcome = {"returncode": 7, "cause": "rank_failed", "message": "rank 0 failed", "duration": 2.0, "run_dir": str(tmp_path)}
    return {**outcome, "problems": {}, "first_failure": RAN, "ranks": [RAN, NEVER], "cwd": "/data", "hint": "", "written": {}}


def test_result_has_the_outcome_of_the_job(finished: dict[str, Any], tmp_path: Path) -> None:
    result = JobResult.from_event(event("job_finished", **finished))
    assert (result.returncode, result.job, result.cause, result.message) == (7, "j1", "rank_failed", "rank 0 failed")
    assert (result.duration, result.run_dir, result.problems) == (2.0, tmp_path, {})


def test_first_failure_is_one_of_the_ranks(finished: dict[str, Any]) -> None:
    result = JobResult.from_event(event("job_finished", **finished))
    assert result.first_failure is result.ranks[0]
    none = JobResult.from_event(event("job_finished", **finished | {"first_failure": None}))
    assert none.first_failure is None


def test_only_a_rank_that_ran_has_logs(finished: dict[str, Any], tmp_path: Path) -> None:
    ranks = JobResult.from_event(event("job_finished", **finished)).ranks
    assert (ranks[0].stdout, ranks[0].stderr) == (tmp_path / "0/stdout.log", tmp_path / "0/stderr.log")
    assert (ranks[1].stdout, ranks[1].stderr, ranks[1].returncode) == (None, None, None)


def test_dry_run_is_a_result_without_ranks() -> None:
    result = JobResult.from_event(event("job_planned", plan={}))
    assert (result.returncode, result.cause, result.ranks, result.run_dir) == (0, "planned", {}, None)

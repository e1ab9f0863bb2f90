"""start_job, run_job and plan_job: what they request, and what they make of the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlxlaunch_ansible import Event, Job, JobFailed, _start, plan_job, run_job, start_job
from tests.unit.package.sessions import Stage, requested, staged, start_none

LOCAL = ["127.0.0.1"]


def test_start_job_requests_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    request = requested(start_job, LOCAL, "/opt/train.py", terminal=(80, 24), grace=1).request
    assert request.playbook == "launch.yml"
    assert (request.setup["terminal"], request.setup["dry_run"], request.setup["default_stdin"]) == ((80, 24), False, None)
    assert request.setup["settings"] == {"script": "/opt/train.py", "args": [], "command": [], "grace": 1}


def test_plan_job_requests_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    assert requested(plan_job, LOCAL, "/opt/train.py").request.setup["dry_run"] is True


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage on which the next job is played."""
    with staged() as stage:
        monkeypatch.setattr(_start, "launch", lambda *_arguments, **_options: Job(stage.session))
        yield stage


def test_run_job_returns_the_result_of_a_failure(stage: Stage) -> None:
    stage.finish(stage.worker(), returncode=7, message="rank 0 exited with code 7")
    assert run_job(LOCAL, "x.py").returncode == 7


def test_run_job_raises_the_failure_with_check(stage: Stage) -> None:
    stage.finish(stage.worker(), returncode=7, message="rank 0 exited with code 7")
    with pytest.raises(JobFailed, match=r"rank 0 exited with code 7 \(exit status 7\); logs: /runs/j1") as caught:
        run_job(LOCAL, "x.py", check=True)
    assert caught.value.result.returncode == 7


def test_run_job_with_check_returns_a_success(stage: Stage) -> None:
    stage.finish(stage.worker())
    assert run_job(LOCAL, "x.py", check=True).returncode == 0


def test_plan_job_returns_the_plan(stage: Stage) -> None:
    stage.finish(stage.worker(), "job_planned", plan={"ranks": []})
    assert plan_job(LOCAL, "x.py") == {"ranks": []}


def test_handler_is_that_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Recorded(_start.Session):
        def start(self, *_arguments: Any) -> Any:
            made.append(self._on_event)
            return self

    def handler(_event: Event) -> None:
        pass

    monkeypatch.setattr(_start, "Session", Recorded)
    assert isinstance(start_job(LOCAL, "/opt/train.py", on_event=handler), Job)
    assert made == [handler]

"""Job, deployment and check: results of one session."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from mlxlaunch_ansible import Job, JobResult, LaunchError, SyncResult
from mlxlaunch_ansible._sync import Deployment
from mlxlaunch_ansible.commands.check import Check
from tests.unit.package.sessions import PATIENCE, staged

DEPLOYED: dict[str, Any] = {"hosts_changed": {"mac-1": ["project"]}, "python": "/p", "script": "/s", "environment": "/e"}
DEPLOYED |= {"environment_digest": "1", "project": "/d", "project_digest": "2", "message": "deployed"}


def test_iteration_ends_with_the_job_and_wait_has_its_result() -> None:
    with staged() as stage:
        job = Job(stage.session)
        worker = stage.worker()
        worker.output(b"x")
        stage.finish(worker, returncode=7, message="rank 0 exited with code 7")
        assert [event.event for event in job] == ["rank_output", "job_finished"]
        result = job.wait(PATIENCE)
        assert isinstance(result, JobResult)
        assert (job.job, result.job, result.returncode, result.message) == ("j1", "j1", 7, "rank 0 exited with code 7")
        assert not job.running


def test_early_cancellation_is_a_result_of_a_job() -> None:
    with staged() as stage:
        job = Job(stage.session)
        job.terminate()
        result = job.wait(PATIENCE)
        assert (result.returncode, result.cause, result.message, result.run_dir) == (143, "interrupted", "terminated", None)


def test_early_cancellation_is_an_error_of_a_deployment() -> None:
    with staged() as stage:
        deployment = Deployment(stage.session)
        deployment.kill(130, "interrupted by SIGINT")
        with pytest.raises(LaunchError, match="interrupted by SIGINT") as caught:
            deployment.wait(PATIENCE)
        assert caught.value.returncode == 130


def test_early_cancellation_is_a_result_of_a_check() -> None:
    with staged() as stage:
        check = Check(stage.session)
        check.terminate(130, "interrupted by SIGINT")
        assert check.wait(PATIENCE) == (130, "interrupted by SIGINT")


def test_deployment_has_its_paths() -> None:
    with staged() as stage:
        deployment = Deployment(stage.session)
        stage.finish(stage.worker(), "deploy_finished", **DEPLOYED)
        result = deployment.wait(PATIENCE)
        assert isinstance(result, SyncResult)
        assert (result.python, result.script, result.changed) == ("/p", "/s", {"mac-1": ["project"]})


def test_check_has_its_status() -> None:
    with staged() as stage:
        check = Check(stage.session)
        stage.finish(stage.worker(), "check_finished", returncode=3, message="1 of 2 hosts is ready")
        assert check.wait(PATIENCE) == (3, "1 of 2 hosts is ready")


def test_leaving_the_block_ends_the_job() -> None:
    with staged() as stage:
        with Job(stage.session) as job:
            pass
        assert not job.running
        assert stage.playbook.calls == ["start", "cancel"]


def test_resize_goes_to_the_rank_with_a_terminal() -> None:
    with staged() as stage:
        job = Job(stage.session)
        job.resize(80, 24)  # of no effect yet
        worker = stage.worker()
        worker.send(wire.encode_json(wire.READERS, {"ranks": [3], "tty": True}) + wire.encode(wire.CREDIT, b"", 3, 10))
        assert job.stdin_room() == 10
        job.resize(132, 50)
        frame = worker.receive()
        assert (frame.kind, frame.rank, frame.json()) == (wire.SCREEN, 3, [132, 50])

"""sync: a deploy from Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlxlaunch_ansible import SyncFailed, _sync, sync
from mlxlaunch_ansible._sync import Deployment
from tests.unit.package.sessions import Stage, requested, staged, start_none

DEPLOYED: dict[str, Any] = {"hosts_changed": {"mac-1": ["project"]}, "python": "/p", "script": "/s", "environment": "/e"}
DEPLOYED |= {"environment_digest": "1", "project": "/d", "project_digest": "2", "message": "deployed"}


def test_request_is_a_deploy_with_a_script_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    found = requested(sync, ["127.0.0.1"], keep=3)
    assert (found.request.playbook, found.settings) == ("sync.yml", {"keep": 3, "script": ""})


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setattr(_sync, "start_sync", lambda *_arguments: Deployment(stage.session))
        yield stage


def test_result_has_paths_and_changes(stage: Stage) -> None:
    stage.finish(stage.worker(), "deploy_finished", **DEPLOYED)
    result = sync(["127.0.0.1"], "train.py", check=True)
    assert (result.python, result.script, result.environment, result.project) == ("/p", "/s", "/e", "/d")
    assert (result.returncode, result.changed, result.problems) == (0, {"mac-1": ["project"]}, {})


def test_failure_is_a_result_and_with_check_an_error(stage: Stage) -> None:
    stage.finish(stage.worker(), "deploy_finished", **{**DEPLOYED, "returncode": 3, "message": "mac-1 is full"})
    assert sync(["127.0.0.1"], "train.py").returncode == 3
    with pytest.raises(SyncFailed, match=r"mac-1 is full \(exit status 3\)") as caught:
        sync(["127.0.0.1"], "train.py", check=True)
    assert caught.value.result.returncode == 3

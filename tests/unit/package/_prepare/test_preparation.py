"""prepare: a preparation from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS
from mlxlaunch_ansible import PrepareFailed, PrepareResult, UsageError, prepare
from mlxlaunch_ansible._prepare import preparation
from mlxlaunch_ansible._prepare.preparation import Preparation, PrepareOptions
from tests.unit.package.sessions import Stage, requested, staged, start_none

FOUND: dict[str, Any] = {"returncode": 0, "cause": "prepared", "message": "1 item on 1 host set", "prepare": {"hosts": []}}
FOUND |= {"text": "host", "changed": True, "diff": []}


def test_request_has_settings_and_options_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    found = requested(prepare, ["a", "b"], wired_limit=98304, apply=True, sleep=None, lease=5.0, python=Path("/p"), dry_run=True)
    assert (found.request.playbook, found.settings) == ("prepare.yml", {"lease": 5.0, "python": "/p"})
    assert (found.request.setup["own"], found.request.setup["dry_run"]) == ({"wired_limit": 98304, "apply": True}, True)


def test_backend_of_a_hostfile_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    assert requested(prepare, {"backend": "mpi", "hosts": [{"ssh": "a"}]}).settings == {}


def test_options_are_those_of_the_action_and_five_settings() -> None:
    assert set(PrepareOptions.__annotations__) == {*OPTIONS, "group", "python", "connect_timeout", "lease", "verbose"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setattr(preparation, "start_prepare", lambda *_arguments, **_how: Preparation(stage.session))
        yield stage


def test_result_is_that_of_the_worker(stage: Stage) -> None:
    stage.finish(stage.worker(), "prepare_finished", **FOUND)
    assert prepare(["a"]) == PrepareResult(0, "1 item on 1 host set", {"hosts": []}, "host", True)


def test_failure_is_a_result_and_with_check_an_error(stage: Stage) -> None:
    stage.finish(stage.worker(), "prepare_finished", **{**FOUND, "returncode": 3, "message": "a: no answer"})
    assert prepare(["a"]).returncode == 3
    with pytest.raises(PrepareFailed, match=r"a: no answer \(exit status 3\)") as caught:
        prepare(["a"], check=True)
    assert caught.value.result.message == "a: no answer"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"wired_limit": 96}, "--wired-limit: 96: want auto"),
        ({"apply": True, "state": "absent"}, "--undo takes a preparation back"),
        ({"state": "gone"}, "--state 'gone'"),
        ({"sleep": b"yes"}, "--sleep: b'yes' is not yes or no"),
        ({"lease": 0}, "--lease 0"),
        ({"grace_": 1}, "grace_"),
    ],
)
def test_wrong_call_is_a_usage_error(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        prepare(["a"], **options)

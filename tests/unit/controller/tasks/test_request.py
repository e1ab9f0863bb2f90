"""The request for a piece of work: Ansible's variables, and the launching program's part, which counts for more."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.stdin_readers import NONE
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext


def context(options: dict[str, Any], *, check_mode: bool = False, **task_vars: Any) -> TaskContext:
    return TaskContext(options, None, None, None, task_vars, print, check_mode)


def test_task_of_a_playbook_has_defaults_of_its_own() -> None:
    request = Request.of(context({"script": "a.py"}, ansible_playbook_python="/venv/bin/python"), {})
    assert request.options == {"script": "a.py"}
    assert (request.default_python, request.default_cwd) == ("/venv/bin/python", os.getcwd())
    assert (request.default_stdin, request.terminal) == (NONE, None)
    assert not request.dry_run
    assert request.job


def test_launching_program_counts_for_more() -> None:
    setup = {
        "settings": {"script": "b.py"},
        "job": "j1",
        "hostfile": [{"ssh": "b"}],
        "terminal": [80, 24],
        "default_python": "/p",
        "ranks": [],
    }
    given = context({"script": "a.py", "group": "macs", "hostfile": [{"ssh": "a"}]}, ansible_playbook_python="/venv/bin/python")
    request = Request.of(given, setup)
    assert request.options["script"] == "b.py"
    assert request.options["group"] == "macs"
    assert (request.job, request.hostfile, request.terminal) == ("j1", [{"ssh": "b"}], [80, 24])
    assert request.default_python == "/p"


def test_hostfile_of_a_task_is_no_setting() -> None:
    request = Request.of(context({"hostfile": [{"ssh": "a"}]}), {})
    assert request.hostfile == [{"ssh": "a"}]
    assert request.options == {}


def test_options_that_are_no_settings_stand_apart() -> None:
    request = Request.of(context({"parts": ["project"], "group": "macs"}), {}, ("parts", "path"))
    assert request.own == {"parts": ["project"], "path": None}
    assert request.options == {"group": "macs"}


@pytest.mark.parametrize(("check_mode", "setup", "dry"), [(True, {}, True), (False, {"dry_run": True}, True), (False, {}, False)])
def test_check_mode_or_the_program_makes_it_dry(check_mode: bool, setup: dict[str, Any], dry: bool) -> None:
    assert Request.of(context({}, check_mode=check_mode), setup).dry_run is dry


def test_every_request_is_a_job_of_its_own() -> None:
    assert Request.of(context({}), {}).job != Request.of(context({}), {}).job


def test_nothing_can_be_set_on_a_request() -> None:
    request = Request.of(context({}), {})
    with pytest.raises(FrozenInstanceError):
        request.job = "other"  # type: ignore[misc]

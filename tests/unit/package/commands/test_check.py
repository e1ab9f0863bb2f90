"""`mlxlaunch check`: its request, its table and its document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import LaunchError, cli
from mlxlaunch_ansible.commands import check
from mlxlaunch_ansible.commands.check import Check
from tests.unit.package.sessions import requested, staged, start_none

ROW = {"host": "mac-1", "ranks": [0], "status": "fail", "cells": {"reachable": {"value": "ok", "status": "ok", "notes": []}}}
FOUND: dict[str, Any] = {"checks": [ROW], "facts": {"mac-1": {"system": "macOS 26\x9b2J"}}, "returncode": 3, "cause": "not_ready"}
FOUND |= {"message": "mac-1 is not ready"}


def test_request_is_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = requested(cli.main, ["check", "-n", "1", "--env", "A=1", "--environment", "uv.lock", "train.py"])
    assert found.request.playbook == "check.yml"
    assert found.settings == {"env": {"A": "1"}, "environment": f"{tmp_path}/uv.lock", "script": f"{tmp_path}/train.py"}


def shown(*, as_json: bool, **fields: Any) -> int:
    with staged() as stage:
        worker = stage.worker()
        worker.event("waiting", text="contacting 1 host")
        stage.finish(worker, "check_finished", **{**FOUND, **fields})
        return check.show(Check(stage.session), as_json=as_json, verbose=False)


def test_table_goes_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(as_json=False) == 3
    said = capfd.readouterr()
    assert said.out.splitlines()[0].startswith("host ")
    assert said.out.splitlines()[1].startswith("mac-1 ")
    assert said.err == "mlxlaunch: contacting 1 host\nmlxlaunch: mac-1 is not ready\n"


def test_document_has_outcome_cells_and_facts(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(as_json=True) == 3
    out = capfd.readouterr().out
    found = json.loads(out)
    assert found["hosts"] == [{**ROW, "facts": FOUND["facts"]["mac-1"]}]
    assert "\x9b" not in out
    assert {name: found[name] for name in ("check", "returncode", "cause", "message", "duration")} == {
        "check": "j1",
        "returncode": 3,
        "cause": "not_ready",
        "message": "mac-1 is not ready",
        "duration": 1.0,
    }


def test_no_table_when_no_host_was_asked(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(as_json=False, checks=[], returncode=130, message="interrupted by SIGINT") == 130
    assert capfd.readouterr().out == ""


def test_early_interruption_is_its_status(capfd: pytest.CaptureFixture[str]) -> None:
    with staged() as stage:
        job = Check(stage.session)
        job.terminate(130, "interrupted by SIGINT")
        assert check.show(job, as_json=False, verbose=False) == 130
    assert capfd.readouterr().err == "mlxlaunch: interrupted by SIGINT\n"


def test_refusal_is_an_error() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_refused", returncode=2, message="group 'mlx' has no hosts")
        worker.close()
        stage.playbook.end()
        with pytest.raises(LaunchError, match="has no hosts"):
            check.show(Check(stage.session), as_json=False, verbose=False)

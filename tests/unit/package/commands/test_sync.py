"""`mlxlaunch sync`: its request, and the paths it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import cli
from mlxlaunch_ansible._sync import Deployment
from mlxlaunch_ansible.commands import sync
from mlxlaunch_ansible.commands.terminal import screen
from tests.unit.package.sessions import requested, staged, start_none

DEPLOYED: dict[str, Any] = {"hosts_changed": {}, "python": "/env/bin/python", "script": "/d/train.py", "environment": "/env"}
DEPLOYED |= {"environment_digest": "1", "project": "", "project_digest": "", "message": "1 host has everything"}


def test_request_is_a_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = requested(cli.main, ["sync", "-n", "1", "--project-dir", "llm", "--keep", "3", "llm/train.py"])
    assert found.request.playbook == "sync.yml"
    assert found.settings == {"project_dir": f"{tmp_path}/llm", "keep": "3", "script": f"{tmp_path}/llm/train.py"}


def test_paths_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    with staged() as stage:
        stage.finish(stage.worker(), "deploy_finished", **DEPLOYED)
        assert sync.show(Deployment(stage.session), verbose=False) == 0
    said = capfd.readouterr()
    assert said.out == "python /env/bin/python\nscript /d/train.py\n"
    assert said.err == "mlxlaunch: 1 host has everything (1.0 s)\n"


def test_failed_deploy_prints_no_paths(capfd: pytest.CaptureFixture[str]) -> None:
    with staged() as stage:
        problems = {"mac-1": ["no space left"]}
        stage.finish(stage.worker(), "deploy_finished", **{**DEPLOYED, "returncode": 3, "message": "not deployed", "problems": problems})
        assert sync.show(Deployment(stage.session), verbose=False) == 3
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "mlxlaunch: not deployed\n  mac-1  no space left\n"


def test_slow_inventory_is_explained(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with staged() as stage:
        explained = screen.say

        def say(text: str) -> None:
            """Only then does the deploy go on."""
            explained(text)
            stage.finish(stage.worker(), "deploy_finished", **DEPLOYED)

        monkeypatch.setattr(sync, "say", say)
        monkeypatch.setattr(screen, "PATIENCE", 0.0)
        assert sync.show(Deployment(stage.session), verbose=False) == 0
    assert capfd.readouterr().err.splitlines()[0] == screen.WAITING

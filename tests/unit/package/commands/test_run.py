"""`mlxlaunch run`: from words to a request."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mlxlaunch_ansible import cli
from mlxlaunch_ansible._inventory import AnsibleOptions
from mlxlaunch_ansible.commands import run
from mlxlaunch_ansible.commands.rerun import Rerun
from tests.unit.package.sessions import Requested, requested, start_none


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    monkeypatch.setenv("TERM", "vt100")


def by_words(*words: str) -> Requested:
    return requested(cli.main, ["run", *words])


def test_job_is_a_launch_of_this_process() -> None:
    request = by_words("-n", "2", "/opt/train.py", "--lr", "1").request
    assert (request.playbook, request.setup["default_python"], request.setup["dry_run"]) == ("launch.yml", sys.executable, False)
    assert request.setup["settings"] == {"script": "/opt/train.py", "args": ["--lr", "1"], "command": []}
    assert len(request.setup["hostfile"]) == 2
    assert request.setup["term"] == "vt100"


def test_dry_run_is_requested() -> None:
    assert by_words("--dry-run", "/opt/train.py").request.setup["dry_run"] is True


@pytest.mark.parametrize(("has_input", "readers"), [(True, "all"), (False, "none")])
def test_ranks_read_the_input_that_is_there(has_input: bool, readers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "has_something", lambda: has_input)
    assert by_words("/opt/train.py").request.setup["default_stdin"] == readers


def test_python_of_an_environment_runs_no_command() -> None:
    settings = by_words("--environment", "/x.lock", "--python", "3.12", "hostname").settings
    assert (settings["command"], settings["python"]) == (["hostname"], "3.12")


@pytest.mark.parametrize("size", [None, (132, 50)])
def test_terminal_has_a_size_or_none(size: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_terminal_size", lambda: size)
    assert by_words("/opt/train.py").request.setup["terminal"] == size


def test_earlier_job_runs_with_its_settings_and_new_ones(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def load(*arguments: Any) -> Rerun:
        asked.extend(arguments)
        return Rerun(["127.0.0.1"], {"script": "/opt/train.py", "stdin": "none", "keep": 3}, [{"rank": 0}], ["train.py is not what it was"])

    monkeypatch.setattr(run.rerun, "load", load)
    found = by_words("--from-run", "j0", "--env", "A=1", "--stdin", "0", "--log-dir", "/runs")
    assert asked == ["j0", "/runs", {"env": {"A": "1"}, "stdin": "0", "log_dir": "/runs"}, AnsibleOptions()]
    assert found.settings == {"script": "/opt/train.py", "stdin": "0", "keep": 3, "env": {"A": "1"}, "log_dir": "/runs"}
    assert found.request.setup["ranks"] == [{"rank": 0}]
    assert capsys.readouterr().err == "mlxlaunch: train.py is not what it was\n"

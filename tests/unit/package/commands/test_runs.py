"""The command `mlxlaunch runs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxlaunch_ansible.cli import main
from tests.unit.controller.output.record.test_runs import names, record


def test_runs_are_listed_the_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = names(2)
    record(tmp_path, first, returncode=7)
    record(tmp_path, second, returncode=None)
    assert main(["runs", "--log-dir", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [[second, "unfinished", "260", "B"], [first, "7", "359", "B", "it", "ended"]]


def test_end_of_a_run_does_nothing_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = record(tmp_path) / "events.jsonl"
    events.write_text(events.read_text().replace("it ended", r"a: \u009b2J"))
    assert main(["runs", "--log-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("  a: \\x9b2J\n")


def test_old_runs_are_removed_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (record(tmp_path, name) for name in names(2))
    assert main(["runs", "--log-dir", str(tmp_path), "--prune", "--keep-runs", "1"]) == 0
    assert capsys.readouterr().out == f"removed {first}\n"
    assert (first.exists(), second.exists()) == (False, True)


def test_wrong_number_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--prune", "--keep-runs", "-1"]) == 2
    assert capsys.readouterr().err == "mlxlaunch: --keep-runs -1: want 0 or more\n"


def test_no_runs_are_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--log-dir", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == ""

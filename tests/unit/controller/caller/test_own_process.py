"""The launching process in states that no job can start from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.own_process import absolute, current_folder, own_python
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import LaunchError, UsageError


def test_python_is_the_one_that_runs() -> None:
    assert own_python() == sys.executable


@pytest.mark.parametrize("told", ["", None])
def test_python_of_a_program_that_embeds_it_is_that_of_its_prefix(told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", told)
    assert Path(own_python()).parent == Path(sys.prefix, "bin")


def test_program_without_a_python_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(LaunchError, match=r"set sys\.executable"):
        own_python()


def test_directory_that_is_gone_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert (current_folder(), absolute("x/../y")) == (str(tmp_path), f"{tmp_path}/y")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="current directory cannot be used: No such file"):
        current_folder()
    with pytest.raises(UsageError, match="current directory cannot be used"):
        absolute("x")
    assert absolute("/x") == "/x"

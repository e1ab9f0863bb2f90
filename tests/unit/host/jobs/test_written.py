"""Files that a job has left in its project."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.written import time_there, written
from tests.unit.project_deploy import Deploy


@pytest.fixture
def case(tmp_path: Path) -> Deploy:
    """A project that is deployed."""
    case = Deploy(tmp_path)
    case.with_call = True
    case.write("train.py", "pass")
    case.deploy()
    return case


def touch_after(path: Path, since: int) -> None:
    """Make a file, and change it until the clock of its file system has gone on."""
    path.touch()
    while path.stat().st_ctime_ns <= since:
        path.touch()


def test_only_new_files_that_were_not_sent_count(case: Deploy) -> None:
    tree = case.tree()
    held = [str(case.root / "envs/x"), str(tree)]
    began = time_there(str(case.root), held)
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/train.pyc").touch()
    assert written(str(case.root), held, began) == ""
    (tree / "out").mkdir()
    touch_after(tree / "out/adapters", began)
    assert written(str(case.root), held, began) == str(tree / "out/adapters")
    assert written(str(case.root), held[:1], began) == ""


def test_files_of_an_earlier_job_do_not_count(case: Deploy) -> None:
    tree = case.tree()
    (tree / "earlier").touch()
    began = time_there(str(case.root), [str(tree)])
    assert began >= (tree / "earlier").stat().st_ctime_ns
    assert written(str(case.root), [str(tree)], began) == ""


def test_time_is_the_one_of_the_file_system(case: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of this host's clock, which a file server does not have."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    lock = flock.lock_path(str(case.tree()))
    assert time_there(str(case.root), [str(case.tree())]) == Path(lock).stat().st_ctime_ns


@pytest.mark.parametrize("held", [[], ["envs/x"], ["projects/demo/0123456789abcdef"]])
def test_without_a_project_of_ours_nothing_was_written(case: Deploy, held: list[str]) -> None:
    paths = [str(case.root / path) for path in held]
    assert time_there(str(case.root), paths) is None
    assert written(str(case.root), [str(case.tree())], None) == ""


def test_version_without_a_record_says_nothing(tmp_path: Path) -> None:
    assert written(str(tmp_path), [str(tmp_path / "projects/llm/0")], 0) == ""

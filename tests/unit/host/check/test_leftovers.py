# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rests of earlier jobs and deploys are found, and running ones are told from them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import leftovers
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import BOOT


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a state directory of this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_folders_of_running_jobs_are_no_leftovers() -> None:
    over = Status.make("20260101-000000-aaaaaa", 0)
    os.close(over.lock)
    running = Status.make("20260101-000000-bbbbbb", 1)
    found = leftovers.leftovers("")
    assert "20260101-000000-bbbbbb" in found["jobs"]
    assert over.folder in found["folders"]
    assert running.folder not in found["folders"]


@contextlib.contextmanager
def marked(mark: str, above: Sequence[str] = ()) -> Iterator[int]:
    """Run a process of a job; give its process id.

    Args:
        above: command whose child it is to be.
    """
    rank = "import os; print(os.getpid(), flush=True); input()"
    environment = dict(os.environ, MLXLAUNCH_JOB=mark)
    command = [*above, sys.executable, "-c", rank]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield int(process.stdout.readline())
        process.stdin.close()


def test_processes_without_a_supervisor_are_leftovers() -> None:
    status = Status.make("20260101-000000-cccccc", 0)
    mark = "20260101-000000-cccccc.0"
    with marked(mark) as pid:
        held = leftovers.leftovers("")
        os.close(status.lock)
        free = leftovers.leftovers("")
    assert pid not in [process for process, _name, _mark in held["processes"]]
    assert [pid, mark] in [[process, each] for process, _name, each in free["processes"]]


def test_process_whose_supervisor_lives_is_no_leftover(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever its folder is: another TMPDIR, another home, or removed by somebody."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    above = "import os, subprocess, sys; subprocess.run(sys.argv[2:], check=True)"
    mark = "20260101-000000-dddddd.0"
    with marked(mark) as alone:
        assert alone in [pid for pid, _name, _mark in leftovers.leftovers("")["processes"]]
        with marked(mark, [sys.executable, "-c", above, f"{BOOT}9)))"]) as pid:
            found = leftovers.leftovers("")
    assert not {alone, pid} & {process for process, _name, _mark in found["processes"]}
    assert "20260101-000000-dddddd" in found["jobs"]


def test_what_a_deploy_is_at_work_on_is_no_leftover(tmp_path: Path) -> None:
    for path in ("envs/old", "envs/new", "envs/done", "projects/llm/.part-aa", "projects/llm/.part-bb"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "envs/done/.mlxlaunch.json").touch()
    with (tmp_path / "envs/.new.lock").open("wb") as one, (tmp_path / "projects/llm/.bb.lock").open("wb") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(two, fcntl.LOCK_EX)
        found = leftovers.leftovers(str(tmp_path))
    assert found["environments"] == [str(tmp_path / "envs/old")]
    assert found["staging"] == [str(tmp_path / "projects/llm/.part-aa")]

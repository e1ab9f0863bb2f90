# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a rank, and the files it finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank import RankProcess, stage, stage_modules
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK
from tests.unit.host_specs import rank_spec


def output_of(rank: RankProcess, tmp_path: Path, **environment: str) -> str:
    """Start a rank, wait for its end and return its output."""
    rank.start(str(tmp_path), {MARK: "job.0", "PATH": "/usr/bin:/bin", **environment})
    assert os.waitstatus_to_exitcode(os.waitpid(rank.pid, 0)[1]) == 0
    [stdout] = [stream for stream in rank.streams if stream.name == "stdout"]
    while stream_data := stdout.read():
        assert stream_data
    text = stdout._stored().decode()
    rank.forget()
    return str(text)


def test_rank_has_its_variables_files_and_mark(tmp_path: Path) -> None:
    files = stage({"RANKS": "[]"}, str(tmp_path))
    spec = rank_spec(0, "sh", "-c", "echo $A $B $RANKS $MLXLAUNCH_JOB; pwd", env={"A": "own", MARK: "forged"})
    text = output_of(RankProcess(spec, str(tmp_path), files), tmp_path, A="host", B="host")
    assert text.splitlines() == [f"own host {tmp_path}/RANKS job.0", str(tmp_path)]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_rank_ignores_no_signal(tmp_path: Path) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a rank beyond its file size limit would then go on without its file."""
    text = output_of(RankProcess(rank_spec(0, "grep", "SigIgn", "/proc/self/status"), str(tmp_path), {}), tmp_path)
    from_the_c_library = 0b11 << 31  # signals 32 and 33, which no program can set
    assert int(text.split()[1], 16) & ~from_the_c_library == 0


def test_modules_come_first_on_the_module_path(tmp_path: Path) -> None:
    stage_modules(str(tmp_path), {"sitecustomize.py": "pass"})
    text = output_of(RankProcess(rank_spec(0, "sh", "-c", "echo $PYTHONPATH"), str(tmp_path), {}), tmp_path, PYTHONPATH="/mine")
    assert text == f"{tmp_path}/python:/mine\n"


def test_replanned_rank_gets_other_variables_and_files(tmp_path: Path) -> None:
    spec = rank_spec(0, "sh", "-c", "echo $A; cat $RANKS", env={"A": "early"})
    rank = RankProcess(spec, str(tmp_path), stage({"RANKS": "early"}, str(tmp_path)))
    rank.replan({"A": "late"})
    stage({"RANKS": "later"}, str(tmp_path))
    assert output_of(rank, tmp_path) == "late\nlater"


@pytest.mark.parametrize("program", ["no-such-program", "/nowhere/program"])
def test_program_that_is_not_there_is_named(tmp_path: Path, program: str) -> None:
    rank = RankProcess(rank_spec(0, program), str(tmp_path), {})
    with pytest.raises(FileNotFoundError) as caught:
        rank.start(str(tmp_path), {MARK: "job.0", "PATH": "/usr/bin"})
    assert caught.value.filename == program
    if rank.pid:
        os.waitpid(rank.pid, 0)
    rank.forget()

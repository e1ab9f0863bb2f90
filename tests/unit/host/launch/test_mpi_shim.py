# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that mpirun starts in place of ranks and of ssh."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import place
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import mpi_shim
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import FOLDER_FORMAT


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "HOME", "TMPDIR"])
def test_folders_of_a_job_are_found_where_they_are_made(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert mpi_shim.FOLDER == FOLDER_FORMAT % ("%s", "*")
    for name in ("XDG_STATE_HOME", "HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path) if name == variable else "/proc/nowhere")
    monkeypatch.setattr(place.pwd, "getpwuid", lambda _user: SimpleNamespace(pw_dir="/proc/nowhere"))
    made = [Status.make("job[1]", index).folder for index in (0, 1)]
    Status.make("job1", 0)
    assert made[0].startswith(str(tmp_path))
    assert sorted(mpi_shim.folders("job[1]")) == made


def test_directory_that_others_may_use_is_not_asked(tmp_path: Path) -> None:
    """Its supervisor would get the rank's environment."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as link:
        listener.bind(str(tmp_path / mpi_shim.SOCKET))
        listener.listen()
        tmp_path.chmod(0o755)
        here = os.getcwd()
        try:
            assert not mpi_shim.reach(link, str(tmp_path))
            tmp_path.chmod(0o700)
            assert mpi_shim.reach(link, str(tmp_path))
        finally:
            os.chdir(here)


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can be two users")
def test_other_end_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    bind = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); "
    program = f"{bind} os.setuid(65534); s.listen(); print(flush=True); s.accept(); input()"
    path = str(tmp_path / "s")
    with subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            assert not mpi_shim.is_ours(link)
        process.stdin.close()
    ours, theirs = socket.socketpair()
    assert mpi_shim.is_ours(ours)
    for each in (ours, theirs):
        each.close()


def test_rank_hands_over_its_number_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMIX_RANK", "3")
    monkeypatch.setenv("OTHER", "x")
    found = mpi_shim.rank()
    assert (found["rank"], found["env"]["OTHER"]) == (3, "x")


def test_shim_without_a_supervisor_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"no supervisor of this job was found in {tmp_path}, /nowhere"):
        mpi_shim.ask([str(tmp_path), "/nowhere"], {})


def test_shim_needs_no_other_file() -> None:
    source = Path(mpi_shim.__file__).read_text(encoding="utf-8")
    assert "ansible_collections" not in source

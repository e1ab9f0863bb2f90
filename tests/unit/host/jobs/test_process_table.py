# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of processes, and whose environment is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process_table import parse_stat, take_table

REST = b" 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 4711 0"
KERNEL = REST.replace(b"4194304", b"2129984")


@pytest.mark.parametrize(
    ("stat", "name"),
    [
        (b"71 (python3) S 1 70 69", "python3"),
        (b"71 (a (b) c) R 1 70 69", "a (b) c"),
        (b"71 (x) Z 1) S 1 70 69", "x) Z 1"),
        (b"71 (\xff) S 1 70 69", "\ufffd"),
        (b"71 () S 1 70 69", ""),
    ],
)
def test_stat_of_a_process_with_any_name(stat: bytes, name: str) -> None:
    assert parse_stat(stat + REST) == Process(name, 1, 70, 69, "4711")


@pytest.mark.parametrize("stat", [b"71 (two words) Z 1 70 69" + REST, b"71 (x) X 1 70 69" + REST, b"2 (kthreadd) S 0 0 0" + KERNEL])
def test_what_is_dead_or_of_the_kernel_is_no_process(stat: bytes) -> None:
    assert parse_stat(stat) is None


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_all_programs_are_in_the_table() -> None:
    table, _mark = take_table()
    programs = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if has_program(pid)}  # noqa: PTH208
    assert programs - set(table) <= {pid for pid in programs if not Path(f"/proc/{pid}").exists()}
    assert "kthreadd" not in {process.name for process in table.values() if process.parent == 0}


def has_program(pid: int) -> bool:
    """Return whether a process runs a program, as all do but threads of the kernel and the dead."""
    try:
        Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return False
    return True


def test_own_process_is_in_the_table() -> None:
    table, _mark = take_table()
    assert (table[os.getpid()].parent, table[os.getpid()].session) == (os.getppid(), os.getsid(0))


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root may look at another user's environment")
def test_environment_of_another_user_is_not_read() -> None:
    """Reading it may hang for as long as that user wants."""
    command = [sys.executable, "-c", "import os; os.setuid(65534); print(flush=True); input()"]
    with subprocess.Popen(command, env={"MLXLAUNCH_JOB": "job-1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        table, mark_of = take_table()
        assert process.pid in table
        assert mark_of(process.pid) == ""
        process.stdin.close()

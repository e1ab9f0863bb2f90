# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of processes, and whose environment is looked at."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process_table import parse_stat, take_table

REST = b" 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 4711 0"


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        (b"71 (python3) S 1 70 69", ("S", "python3", 69)),
        (b"71 (a (b) c) R 1 70 69", ("R", "a (b) c", 69)),
        (b"71 (x) Z 1) S 1 70 69", ("S", "x) Z 1", 69)),
        (b"71 (two words) Z 1 70 69", ("Z", "two words", 69)),
        (b"71 (\xff) S 1 70 69", ("S", "\ufffd", 69)),
        (b"71 () S 1 70 69", ("S", "", 69)),
    ],
)
def test_stat_of_a_process_with_any_name(stat: bytes, expected: tuple[str, str, int]) -> None:
    state, name, session = expected
    assert parse_stat(stat + REST) == (state, Process(name, 1, 70, session, "4711"))


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

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of processes and their marks, as ps of a Mac lists them."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process

PS = b"""\
    1     0     1 Ss   Thu Nov 26 02:37:59 2026     /sbin/launchd
  501     1   501 Ss   Thu Nov 26 02:38:00 2026     /env/bin/python3 train.py --lr 1e-3 PATH=/usr/bin MLXLAUNCH_JOB=job-1 HOME=/Users/me
  503   501   503 S    Thu Nov 26 02:38:00 2026     (python3)
  504   501   503 Z    Thu Nov 26 02:38:00 2026     (python3)
  508   501   508 R    Thu Nov  6 02:38:00 2026     sleep 100 XMLXLAUNCH_JOB=job-1
  510   501   510 S    Thu Nov 26 02:38:00 2026     \n"""


def test_ps_gives_the_living_and_their_marks() -> None:
    table, marks = ps.parse(PS)
    assert marks == {501: "job-1"}
    assert sorted(table) == [1, 501, 503, 508]
    assert table[501] == Process("python3", 1, 501, 501, "Thu_Nov_26_02:38:00_2026")
    assert table[508].start == "Thu_Nov_6_02:38:00_2026"


def test_both_lists_of_ps_have_the_same_columns() -> None:
    for command in (ps.ALL, ps.BRIEF):
        listing = subprocess.run([word.replace("-axwwE", "-axww") for word in command], capture_output=True, check=True).stdout
        assert ps.parse(listing)[0][os.getpid()].parent == os.getppid()

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit of open files is raised as far as it may be, and a rank gets the one it would have had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.open_files import for_ranks

_ROOT = Path(__file__).parents[4] / ".ansible"
_PROGRAM = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
sys.path.insert(0, sys.argv[1])
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine, open_files
problem = open_files.allow(int(sys.argv[4]), int(sys.argv[5]))
raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
told = machine.open_files()
open_files.restore()
print(json.dumps([problem, raised, told, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
"""


@pytest.mark.parametrize(
    ("limits", "needed", "wanted", "raised", "problem"),
    [
        ((256, 4096), 100, 200, 256, ""),
        ((256, 4096), 300, 2000, 2000, ""),
        ((256, 1000), 300, 2000, 1000, ""),
        (
            (256, 999),
            1200,
            2000,
            999,
            "needs 1200 open files, and may have 999 (hard limit: 999); raise that, or put fewer ranks there",
        ),
    ],
)
def test_limit_is_raised_and_given_back(limits: tuple[int, int], needed: int, wanted: int, raised: int, problem: str) -> None:
    words = [sys.executable, "-c", _PROGRAM, str(_ROOT), *map(str, (*limits, needed, wanted))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [problem, raised, limits[0], limits[0]]


def test_more_ranks_need_more() -> None:
    assert for_ranks(1) < for_ranks(512)
    assert for_ranks(10)[0] <= 256

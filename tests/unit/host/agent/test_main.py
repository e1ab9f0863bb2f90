# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent answers the calls of all wings, and no wing takes another's name."""

from __future__ import annotations

import json
import subprocess
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent import main
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check.handlers import FUNCTIONS as CHECK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.handlers import FUNCTIONS as DEPLOY
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch.handlers import FUNCTIONS as FETCH
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.handlers import FUNCTIONS as NETWORK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.handlers import FUNCTIONS as PREPARE


def test_every_call_of_a_wing_is_served_once() -> None:
    names = [name for wing in (CHECK, DEPLOY, FETCH, NETWORK, PREPARE) for name in wing]
    assert sorted(main.FUNCTIONS) == sorted(names)
    assert len(set(names)) == len(names)


def test_agent_starts_without_what_only_some_calls_need() -> None:
    """Its start is waited for on every host, by every deploy."""
    program = (
        "import json, sys\n"
        "from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent import main\n"
        "print(json.dumps([name for name in sys.modules if 'module_utils.' in name or name in ('subprocess', 'hashlib', 'threading')]))"
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=60, env=env)
    loaded = json.loads(done.stdout)
    assert not {"subprocess", "hashlib"} & set(loaded)
    assert not [name for name in loaded if name.endswith((".store", ".versions", ".environment", ".files", ".gather", ".neighbours"))]

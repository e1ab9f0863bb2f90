# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible comes by the collection's code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lab.start import CHECKOUT

PROBE = """
import sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from importlib import import_module
plugin = import_module("ansible_collections.mlxlaunch.cluster.plugins." + sys.argv[1])
print(type(plugin.__spec__.loader).__name__)
for name, module in sys.modules.items():
    if "mlxlaunch.cluster.plugins." in name and "_utils._" in name:
        print(name.rpartition(".")[2], type(module.__spec__.loader).__name__)
"""


@pytest.mark.parametrize("plugin", ["action.launch", "action.deploy", "action.check", "action.hostfile"])
def test_what_a_plugin_imports_is_not_compiled_each_time(plugin: str) -> None:
    env = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible")}
    done = subprocess.run([sys.executable, "-c", PROBE, plugin], env=env, capture_output=True, text=True, check=True, timeout=60)
    loader, *lines = done.stdout.splitlines()
    assert loader.startswith("_Ansible")  # the plugin itself is Ansible's
    loaders = dict(line.split() for line in lines)
    assert loaders.pop("_bytecode").startswith("_Ansible")
    assert "_errors" in loaders
    assert set(loaders.values()) == {"SourceFileLoader"}

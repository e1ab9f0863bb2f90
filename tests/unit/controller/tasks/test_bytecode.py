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
    if "mlxlaunch.cluster.plugins." in name and "_utils." in name and module.__spec__.submodule_search_locations is None:
        print(name.partition(".plugins.")[2], type(module.__spec__.loader).__name__)
"""


def imported(plugin: str) -> list[str]:
    """Return the lines of PROBE: the loader of a plugin, then those of the modules that come with it."""
    env = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible")}
    done = subprocess.run([sys.executable, "-c", PROBE, plugin], env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize("plugin", ["action.launch", "action.deploy", "action.check_info", "action.hostfile", "action.network"])
def test_imports_of_a_plugin_are_not_compiled_each_time(plugin: str) -> None:
    loader, *lines = imported(plugin)
    assert loader.startswith("_Ansible")  # the plugin itself is Ansible's
    loaders = dict(line.split() for line in lines)
    assert loaders.pop("plugin_utils.tasks.bytecode").startswith("_Ansible")
    assert {"plugin_utils.job.errors", "module_utils.shared.wire"} <= loaders.keys()
    assert set(loaders.values()) == {"SourceFileLoader"}


def test_hosts_are_reached_before_the_rest_of_a_launch_is_imported() -> None:
    """It is imported beside the handshakes."""
    found = {line.split()[0] for line in imported("action.launch")}
    assert "plugin_utils.hosts.connections" in found
    late = (
        "module_utils.lead.gang",
        "module_utils.lead.policy",
        "plugin_utils.launch.steps",
        "plugin_utils.output.",
        "plugin_utils.deploy.",
    )
    assert not [name for name in sorted(found) if name.startswith(late)]

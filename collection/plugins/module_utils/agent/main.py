# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: answers the controller's calls while something is deployed, checked or looked at on this host."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent import server
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check.handlers import FUNCTIONS as CHECK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.handlers import FUNCTIONS as DEPLOY
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch.handlers import FUNCTIONS as FETCH
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import open_files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.handlers import FUNCTIONS as NETWORK
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.handlers import FUNCTIONS as PREPARE

FUNCTIONS = dict(DEPLOY, **CHECK, **FETCH, **NETWORK, **PREPARE)
_FILES = 4096  # connections to neighbours, and the files of a deploy


def main():
    """Serve the controller on standard input and output."""
    open_files.allow(0, _FILES)
    server.serve(FUNCTIONS)

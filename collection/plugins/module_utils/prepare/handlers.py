# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls about a host's preparation. The modules that a call needs are imported by it."""

from __future__ import annotations


def prepare(agent, **request):
    """Let items of this host be as they are wanted, or tell what would change; see `work.prepare`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import work

    return work.prepare(agent, **request)


def undo_prepare(agent, **request):
    """Take that back, or tell what would change; see `work.undo`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import work

    return work.undo(agent, **request)


FUNCTIONS = {function.__name__: function for function in (prepare, undo_prepare)}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a check. The modules that a call needs are imported by it."""

from __future__ import annotations


def survey(agent, spec):
    """Return the facts about this host; see `gather.survey`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import gather

    return gather.survey(agent, spec)


def clock(_server):
    """Return the time of this host's clock, seconds since 1970."""
    import time

    return time.time()


def listen(agent, **request):
    """Listen for neighbours; see `neighbours.listen`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import neighbours

    return neighbours.listen(agent, **request)


def dial(agent, **request):
    """Connect to neighbours; see `neighbours.dial`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import neighbours

    return neighbours.dial(agent, **request)


def hush(agent):
    """Stop listening."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import neighbours

    neighbours.hush(agent)


FUNCTIONS = {function.__name__: function for function in (survey, clock, listen, dial, hush)}

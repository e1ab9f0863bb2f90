# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls about a host's network. The modules that a call needs are imported by it."""

from __future__ import annotations


def network(agent, lease):
    """Return the raw answers about this host's network; see `probe.probe`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import probe

    agent.lease = lease
    return probe.probe(agent)


def running(_agent):
    """Return {"jobs": ids of jobs that run on this host, "uid": the user of this program}."""
    import os

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import running as jobs

    return {"jobs": jobs.running_jobs(), "uid": os.geteuid()}


def set_up_port(agent, **request):
    """Set a port up, or tell how; see `setup.set_up`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import setup

    return setup.set_up(agent, **request)


def undo_ports(agent, **request):
    """Undo the setup of ports, or tell how; see `setup.undo`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import setup

    return setup.undo(agent, **request)


def rdma_ports(agent, devices):
    """Return {device: state and GIDs as ibv_devinfo shows them}."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import ports

    return {device: ports.run(agent, ["ibv_devinfo", "-v", "-d", device])[0] for device in devices}


def answer_links(agent, **request):
    """Listen for the other ends of links; see `links.answer`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import links

    return links.answer(agent, **request)


def try_links(agent, **request):
    """Connect over links, and measure them; see `links.attempt`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import links

    return links.attempt(agent, **request)


def silence_links(agent):
    """End `answer_links`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import links

    links.silence(agent)


def sum_over_ring(agent, **request):
    """Be a rank of MLX's ring; see `links.ring_sum`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import links

    return links.ring_sum(agent, **request)


_CALLS = (network, running, set_up_port, undo_ports, rdma_ports, answer_links, try_links, silence_links, sum_over_ring)
FUNCTIONS = {function.__name__: function for function in _CALLS}

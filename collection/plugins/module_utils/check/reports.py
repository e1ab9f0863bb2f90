# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Mac's own programs say about its settings, as they say it; the controller reads it. Nothing is changed.

They run while the ranks' Python is tried, so that they cost a check no time. Linux machines have none of these.
"""

from __future__ import annotations

import json
import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine

_SECONDS = 20.0  # for each, counted from the time at which nothing else is left to do
_MOST = 600_000  # bytes of all answers together, in JSON
_FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_COMMANDS = {
    "power_settings.txt": ["/usr/bin/pmset", "-g", "custom"],
    "filevault.txt": ["/usr/bin/fdesetup", "status"],
    "firewall.txt": [_FIREWALL, "--getglobalstate", "--getblockall"],
}
# Those of a look at the network that tell about RDMA.
_RDMA = (
    "system_profiler.json",
    "hardware_ports.txt",
    "ifconfig.txt",
    "sw_vers.txt",
    "ibv_devices.txt",
    "ibv_devinfo.txt",
    "rdma_ctl.txt",
)
_SHARING = ("sharing_enabled.txt", "sharing_devices.json")


def start(rdma):
    """Start the programs of a Mac; return them for `collect`, which has to follow. None on other machines.

    Args:
        rdma: whether the job needs RDMA; those programs are slow.
    """
    if not machine.is_mac():
        return None
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import probe, programs

    commands = {name: (argv, _SECONDS) for name, argv in _COMMANDS.items()}
    names = _RDMA if rdma else ()
    if os.path.exists(probe.SHARING):
        names += _SHARING
    return programs.start(dict(commands, **{name: probe.MAC[name] for name in names}))


def collect(started, agent):
    """Return {"answers": {name: text}, "failed": {name: reason}} of programs that were started; None for none."""
    if started is None:
        return None
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import probe, programs

    answers, failed = programs.collect(started, lambda: agent.gone)
    if re.search(r"State = [12]", answers.get("firewall.txt", "")):
        more = programs.run_all({"firewall_apps.txt": ([_FIREWALL, "--listapps"], _SECONDS)}, lambda: agent.gone)
        answers.update(more[0])
        failed.update(more[1])
    answers["owners.txt"] = probe.owners()
    return {"answers": _cut(answers, failed), "failed": failed}


def _cut(answers, failed):
    """Return the answers that fit into a reply together, shortest first; note the others as failed."""
    kept, room = {}, _MOST
    for name in sorted(answers, key=lambda name: len(answers[name])):
        room -= len(json.dumps(answers[name]))
        if room < 0:
            failed[name] = "its answer is too long"
        else:
            kept[name] = answers[name]
    return kept

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what else is on a host: its profile's variables, its logins, and other software. Pure."""

from __future__ import annotations

from ...job.check_row import OK, WARN, Cell
from ...network.facts.finding import WARN as DOUBT
from ...network.plan.owners import owner_findings
from ...output.columns import named
from ..facts import HostFacts
from .cluster import Cluster, Rules


def _variables(host: HostFacts, _cluster: Cluster) -> Cell:
    stray = host.found["stray"]
    cell = Cell("stray" if stray else "ok", OK)
    if stray:
        them = "it" if len(stray) == 1 else "them"
        why = f"MLX would take {them} in place of the job's"
        cell.note(WARN, f"its profile sets {named(stray)}, which a launch clears, as {why}; remove {them} from the profile")
    return cell


def _logout(host: HostFacts, _cluster: Cluster) -> Cell:
    if not host.found["ends_with_login"]:
        return Cell("ok", OK)
    text = (
        "KillUserProcesses is on: ranks end when the connection breaks, and nothing can be recovered; "
        "set it to no in /etc/systemd/logind.conf there, and restart systemd-logind (lingering does not help)"
    )
    return Cell("kills", WARN, [text])


def _owners(host: HostFacts, _cluster: Cluster) -> Cell:
    if not host.reports:
        return Cell()
    carries = {name for name, address in host.found["addresses"]["own"] if address in host.ips}
    carries |= {device.removeprefix("rdma_") for device in host.rdma}
    cell = Cell("none", OK)
    for finding in owner_findings(host.network, carries):
        if finding.level == DOUBT:
            cell.value = "some"
            cell.note(WARN, f"{finding.interface}: {finding.text}" if finding.interface else finding.text)
    return cell


RULES: Rules = {"variables": _variables, "logout": _logout, "owners": _owners}

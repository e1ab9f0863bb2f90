# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule about what earlier jobs have left. Pure."""

from __future__ import annotations

from ...job.check_row import FAIL, OK, WARN, Cell
from ...output.columns import named
from ..facts import HostFacts
from .cluster import SHOWN, Cluster, Rules


def _leftovers(host: HostFacts, _cluster: Cluster) -> Cell:
    found = host.found["leftovers"]
    count = sum(len(found[name]) for name in ("folders", "processes", "staging", "environments"))
    cell = Cell(str(count) if count else "job" if found["jobs"] else "none", OK)
    if found["processes"]:
        processes = named([f"{name} ({pid})" for pid, name, _mark in found["processes"]])
        pids = " ".join(str(pid) for pid, _name, _mark in found["processes"][:SHOWN])
        cell.note(FAIL, f"processes of jobs that are over: {processes}; end them: kill {pids}")
    if found["folders"]:
        cell.note(WARN, f"folders of jobs that are over: {named(found['folders'])}; remove them, or let a later job do it after a day")
    if found["staging"]:
        cell.note(WARN, f"transfers that broke off: {named(found['staging'])}; the next mlxlaunch sync removes them")
    if found["environments"]:
        cell.note(WARN, f"environments that were not completed: {named(found['environments'])}; the next mlxlaunch sync removes them")
    return cell


RULES: Rules = {"leftovers": _leftovers}

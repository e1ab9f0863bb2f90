# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the settings of a Mac: sleep, restart, the GPU's memory, and the application firewall. Pure.

A launch may work in spite of all of them, so they only warn.
"""

from __future__ import annotations

from ....module_utils.shared.prepare.firewall_state import BLOCKS_ALL, OFF, listed_of
from ....module_utils.shared.prepare.wired_limit import default_wired, most_wired
from ...job.check_row import OK, WARN, Cell
from ..facts import HostFacts
from ..mac_settings import MacSettings, mac_settings
from .cluster import PREPARE, Cluster, Rules

_MIB, _GIB = 1024**2, 1024**3
_WORTH_IT = 4 * _GIB  # of memory that the GPU could have as well
_SET_WIRED = f"run {PREPARE} --wired-limit auto"
# Apple has signed them, and the firewall lets what is built in accept connections.
_BUILT_IN = ("/usr/", "/System/", "/Library/Developer/", "/Applications/Xcode")


def _settings(host: HostFacts) -> MacSettings:
    return mac_settings(host.reports)


def _sleep(host: HostFacts, _cluster: Cluster) -> Cell:
    minutes = _settings(host).sleep
    if minutes is None:
        return Cell()
    cell = Cell(f"{minutes}min" if minutes else "never", OK)
    if minutes:
        unit = "minute" if minutes == 1 else "minutes"
        cell.note(WARN, f"sleeps after {minutes} {unit} without use, and Thunderbolt does not wake it; {PREPARE} ends that")
    return cell


def _restart(host: HostFacts, _cluster: Cluster) -> Cell:
    settings = _settings(host)
    if settings.filevault is None and settings.restarts is None:
        return Cell()
    cell = Cell("ok", OK)
    if settings.filevault:
        # TN3205 wants automatic login, which FileVault does not allow.
        how = "turn it off, or restart by sudo fdesetup authrestart"
        cell.note(WARN, f"FileVault is on: after a restart it is locked until somebody logs in on it; {how}")
    if settings.restarts is False:
        cell.note(WARN, f"stays off after a power failure; {PREPARE} lets it start again")
    return cell


def _wired(host: HostFacts, cluster: Cluster) -> Cell:
    total, limit = host.found["memory"]["total"], host.found["memory"]["wired"]
    if not total or limit is None:
        return Cell()
    most, usual, ranks = most_wired(total // _MIB) * _MIB, default_wired(total // _MIB) * _MIB, max(1, len(host.ranks))
    limit_now = limit or usual
    cell = Cell(_size(limit) if limit else "default", OK)
    each = f", {_size(limit_now // ranks)} for each of {ranks} ranks" if ranks > 1 else ""
    may = f"the GPU may wire {_size(limit_now)} of {_size(total)}{each}"
    if limit > most:
        cell.note(WARN, f"{may}; with {_size(max(0, total - limit))} left the system may freeze; {_SET_WIRED}, for {_size(most)}")
    elif not limit and most - usual >= _WORTH_IT:
        cell.note(WARN, f"{may}, by default, and could {_size(most)}; {_SET_WIRED}")
    elif 0 < limit < usual:
        cell.note(WARN, f"{may}, which is less than by default; {_SET_WIRED}, for {_size(most)}")
    other = cluster.differs(host, lambda one: _limit_now(one, total, usual))
    if other is not None:
        cell.note(WARN, f"the limit of wired memory is {_size(limit_now)}, and {_size(other)} on most hosts; {_SET_WIRED}")
    return cell


def _limit_now(host: HostFacts, total: int, usual: int) -> int | None:
    """Return the bytes that the GPU of a Mac may wire, None for one with another memory."""
    memory = host.found["memory"]
    return memory["wired"] or usual if memory["total"] == total and memory["wired"] is not None else None


def _size(count: int) -> str:
    return f"{count / _GIB:.0f}G" if count >= 10 * _GIB else f"{count / _MIB:.0f}M"


def _firewall(host: HostFacts, _cluster: Cluster) -> Cell:
    settings, python = _settings(host), host.found["python"]
    if settings.firewall is None:
        return Cell()
    cell = Cell("off" if settings.firewall == OFF else "on", OK)
    if settings.firewall == BLOCKS_ALL:
        cell.note(WARN, "the firewall blocks all incoming connections; turn that off in System Settings, Network, Firewall, Options")
    elif settings.firewall != OFF and not python["problem"]:
        allowed = _allowed(settings, (python["executable"], python["program"]))
        if allowed is False:
            cell.note(WARN, f"the firewall blocks {python['program']}, so neighbours cannot connect; {PREPARE} allows it")
        elif allowed is None and not python["program"].startswith(_BUILT_IN):
            text = f"the firewall is on and does not list {python['program']}, so it may keep neighbours out; {PREPARE} allows it"
            cell.note(WARN, text)
    return cell


def _allowed(settings: MacSettings, paths: tuple[str, str]) -> bool | None:
    """Return what the firewall has decided about a Python, None where it lists none of its paths."""
    found = [settings.apps[path] for path in listed_of(settings.apps, paths)]
    return all(found) if found else None


RULES: Rules = {"sleep": _sleep, "restart": _restart, "wired": _wired, "firewall": _firewall}

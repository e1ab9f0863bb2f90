# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the machine: system, clock, disk, memory, and limits. Pure."""

from __future__ import annotations

from ...job.check_row import FAIL, OK, WARN, Cell
from ..facts import HostFacts
from .cluster import PREPARE, Cluster, Rules

MIB, GIB = 1024**2, 1024**3
_LEAST_DISK, _LITTLE_DISK = 100 * MIB, 500 * MIB
_LITTLE_MEMORY = 0.05  # of all of it
_CLOCK = 1.0  # seconds
_OPEN_FILES, _PROCESSES = 1024, 1024


def _system_of(host: HostFacts) -> str:
    return " ".join(word for word in (host.found["system"]["name"], host.found["system"]["version"]) if word)


def _chip_of(host: HostFacts) -> str:
    return str(host.found["system"]["chip"])


def _build_of(host: HostFacts) -> str:
    build = host.found["system"]["build"]
    return f"{_system_of(host)} ({build})" if build else ""


def _system(host: HostFacts, cluster: Cluster) -> Cell:
    system = host.found["system"]
    chip = _chip_of(host).removeprefix("Apple ")  # which says that it is macOS
    cell = Cell(f"{system['version']} {chip}" if chip else _system_of(host), OK)
    if other := cluster.differs(host, _system_of) or cluster.differs(host, _build_of):
        # jaccl wants the same of all, betas too, by reports of its users.
        own = _build_of(host) if "(" in other else _system_of(host)
        cell.note(WARN, f"is {own}, and {other} on most hosts; update the older ones")
    if other := cluster.differs(host, _chip_of):
        cell.note(WARN, f"its chip is {_chip_of(host)}, and {other} on most hosts; all ranks wait for the slowest, so give it less to do")
    return cell


def _limits(host: HostFacts, _cluster: Cluster) -> Cell:
    files, processes = host.found["open_files"], host.found["processes"]
    cell = Cell(f"{files or 'any'}/{processes or 'any'}", OK)
    if files is not None and files < _OPEN_FILES:
        cell.note(WARN, f"a process may open {files} files only; run {PREPARE} --open-files 65536")
    if processes is not None and processes < _PROCESSES:
        cell.note(WARN, f"this user may run {processes} processes only; run {PREPARE} --processes 4096")
    return cell


def _clock(host: HostFacts, cluster: Cluster) -> Cell:
    if host.offset is None:
        return Cell()
    cell = Cell(_seconds(host.offset), OK)
    if abs(host.offset) - host.uncertainty > _CLOCK:
        ahead = "ahead of" if host.offset > 0 else "behind"
        cell.note(WARN, f"{_seconds(abs(host.offset)).lstrip('+')} {ahead} this machine's; {_clock_to_set(host, host.offset, cluster)}")
    return cell


def _clock_to_set(host: HostFacts, offset: float, cluster: Cluster) -> str:
    """Return which clock is to be set: where all hosts agree, it is this machine's."""
    others = [each.offset for each in cluster.asked if each.offset is not None]
    if len(others) > 1 and all(abs(other - offset) < _CLOCK for other in others):
        return "so are all hosts, so set this machine's"
    mac = host.found["system"]["name"] == "macOS"
    return f"set it ({'sudo sntp -sS time.apple.com' if mac else 'sudo timedatectl set-ntp true'})"


def _seconds(value: float) -> str:
    if abs(value) < 0.05:
        return "0.0s"
    if abs(value) < 100:
        return f"{value:+.1f}s"
    return f"{value / 60:+.0f}min" if abs(value) < 6000 else f"{value / 3600:+.0f}h"


def _disk(host: HostFacts, _cluster: Cluster) -> Cell:
    found = host.found["disk"]
    cell = Cell(_size(found["free"]), OK)
    if found["free"] < _LITTLE_DISK:
        status = FAIL if found["free"] < _LEAST_DISK else WARN
        cell.note(status, f"{_size(found['free'])} are free at {found['path']}; make room there, or set mlx_root to another disk")
    if host.found["kept"]:
        cell.note(WARN, host.found["kept"])
    return cell


def _memory(host: HostFacts, _cluster: Cluster) -> Cell:
    total, available = host.found["memory"]["total"], host.found["memory"]["available"]
    if not total:
        return Cell()
    if available is None:
        return Cell(_size(total), OK)
    cell = Cell(_size(available), OK)
    if available < total * _LITTLE_MEMORY:
        cell.note(WARN, f"{_size(available)} of {_size(total)} are free; see what uses it")
    return cell


def _size(count: int) -> str:
    if count >= 10 * GIB:
        return f"{count / GIB:.0f}G"
    return f"{count / GIB:.1f}G" if count >= GIB else f"{count / MIB:.0f}M"


RULES: Rules = {"system": _system, "clock": _clock, "disk": _disk, "memory": _memory, "limits": _limits}

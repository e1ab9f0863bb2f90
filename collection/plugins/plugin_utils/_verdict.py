# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: is what a check found good enough, and what is to be done where it is not. Pure."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._survey import Link, Survey

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"

MIB, GIB = 1024**2, 1024**3
_LEAST_DISK, _LITTLE_DISK = 100 * MIB, 500 * MIB
_LITTLE_MEMORY = 0.05  # of all of it
_CLOCK = 1.0  # seconds
_OPEN_FILES = 1024
_NO_ROUTE_ON_MAC = 65
_SHOWN = 4


@dataclass
class Cell:
    """One thing about one host.

    Attributes:
        value: what it is, short enough for a table.
        status: OK, WARN, FAIL, or UNKNOWN when it was not looked at or need not be there.
        notes: what is wrong and what to do about it, a line each.
    """

    value: str = "-"
    status: str = UNKNOWN
    notes: list[str] = field(default_factory=list)

    def note(self, status: str, text: str) -> None:
        """Add what is wrong."""
        self.status = FAIL if FAIL in (self.status, status) else status
        self.notes.append(text)


@dataclass
class Row:
    """What is to be said of one host, by column."""

    host: str
    ranks: tuple[int, ...]
    cells: dict[str, Cell]

    @property
    def status(self) -> str:
        """The worst of all."""
        found = {cell.status for cell in self.cells.values()}
        return FAIL if FAIL in found else WARN if WARN in found else OK

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        cells = {name: {"value": cell.value, "status": cell.status, "notes": list(cell.notes)} for name, cell in self.cells.items()}
        return {"host": self.host, "ranks": list(self.ranks), "status": self.status, "cells": cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """Return the row that `to_json` told."""
        return cls(data["host"], tuple(data["ranks"]), {name: Cell(**cell) for name, cell in data["cells"].items()})


def judge(surveys: Mapping[str, Survey], backend: str = "ring") -> list[Row]:
    """Return a row per host, in their order.

    Args:
        surveys: what was found, by host.
        backend: what the job is to run with; only some need mpirun.
    """
    usual = Usual(surveys)
    return [Row(name, survey.ranks, _cells(survey, usual, backend)) for name, survey in surveys.items()]


def _cells(survey: Survey, usual: Usual, backend: str) -> dict[str, Cell]:
    found = {"reachable": _reachable(survey), "host key": _host_key(survey)}
    for name, function in _COLUMNS.items():
        found[name] = function(survey, usual, backend) if survey.found else Cell()
    if survey.environment_failure and not survey.failure:
        found["environment"] = Cell("none", FAIL, [survey.environment_failure])
    return found


class Usual:
    """What most hosts have; of several that are equally frequent, the one of the first host."""

    def __init__(self, surveys: Mapping[str, Survey]) -> None:
        self._surveys = [survey for survey in surveys.values() if survey.found]

    def of(self, get: Callable[[Survey], Any]) -> Any:
        """Return the most frequent value, leaving out hosts that have none."""
        counted = Counter(value for value in map(get, self._surveys) if value)
        return counted.most_common(1)[0][0] if counted else None

    def differs(self, survey: Survey, get: Callable[[Survey], Any]) -> Any:
        """Return what is usual where a host has something else, None otherwise."""
        usual, own = self.of(get), get(survey)
        return usual if own and own != usual else None


# -- the connection


def _reachable(survey: Survey) -> Cell:
    if not survey.failure:
        return Cell("local" if survey.local else "yes", OK)
    if _is_host_key(survey.failure):
        return Cell("yes", OK)  # somebody answers
    value = "denied" if "Permission denied" in survey.failure else "no"
    silent = any(words in survey.failure for words in ("no answer", "did not answer", "timed out"))
    advice = "; is it on, awake, and in the network? try ssh to it" if silent else ""
    return Cell(value, FAIL, [survey.failure + advice])


def _host_key(survey: Survey) -> Cell:
    if survey.local:
        return Cell()
    if not survey.failure or "Permission denied" in survey.failure:
        return Cell("ok", OK)
    if not _is_host_key(survey.failure):
        return Cell()
    return Cell("changed" if "changed" in survey.failure else "unknown", FAIL, [survey.failure])


def _is_host_key(failure: str) -> bool:
    return "its host key" in failure  # as _channel.explain says it


# -- Python and what is deployed


def _python_of(survey: Survey) -> Mapping[str, Any]:
    found: Mapping[str, Any] = survey.found["python"]
    return found


def _version(survey: Survey) -> str:
    return str(_python_of(survey).get("version", ""))


def _minor(survey: Survey) -> str:
    return _version(survey).rpartition(".")[0]


def _python(survey: Survey, usual: Usual, _backend: str) -> Cell:
    python = _python_of(survey)
    environment = survey.found["environment"]
    if python["problem"]:
        if environment and environment["state"] != "complete":
            return Cell()  # it comes with the environment, and that is told
        return Cell("none", FAIL, [f"{python['problem']}; set mlx_python, or let mlx_environment make one"])
    cell = Cell(_version(survey), OK)
    if other := usual.differs(survey, _minor):
        cell.note(FAIL, f"is {_version(survey)}, and {other} on most hosts; use the same minor version everywhere (mlx_python)")
    elif other := usual.differs(survey, _version):
        cell.note(WARN, f"is {_version(survey)}, and {other} on most hosts")
    if other := usual.differs(survey, lambda one: _python_of(one)["path"]):
        cell.note(WARN, f"is {python['path']}, and {other} on most hosts; mlx.launch wants one path everywhere")
    # Translated by Rosetta, it runs and finds no Metal.
    if survey.found["system"]["chip"].startswith("Apple") and (python["platform"], python["machine"]) == ("darwin", "x86_64"):
        cell.note(FAIL, f"{python['path']} is built for {python['machine']}; MLX needs one for arm64")
    return cell


def _environment(survey: Survey, usual: Usual, _backend: str) -> Cell:
    found = survey.found["environment"]
    if not found:
        return Cell()
    if found["state"] != "complete":
        value = {"absent": "none", "incomplete": "part"}.get(found["state"], found["state"])
        return Cell(value, FAIL, [f"{found['path']} is {found['state']}; run mlxlaunch sync to make it"])
    if found["problem"]:
        return Cell("edited", FAIL, [f"{found['problem']}; remove that directory there and run mlxlaunch sync"])
    cell = Cell(found["digest"][:5], OK)
    other = usual.differs(survey, lambda one: (one.found["environment"] or {}).get("digest"))
    if other:
        cell.note(FAIL, f"is {found['digest'][:12]}, and {other[:12]} on most hosts; run mlxlaunch sync")
    return cell


def _project(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    found = survey.found["project"]
    if survey.found["script"]:
        return Cell("none", FAIL, [f"{text}; bring it there, or let mlxlaunch sync do it" for text in survey.found["script"]])
    if not found:
        return Cell(survey.project[:5], OK) if survey.project else Cell()  # the script is there without having been brought
    if found["state"] == "absent":
        return Cell("none", FAIL, [f"{found['path']} is not there; run mlxlaunch sync to bring it"])
    if found["edited"]:
        named = _some(found["edited"])
        return Cell("edited", FAIL, [f"files in {found['path']} were edited by hand: {named}; run mlxlaunch sync to replace them"])
    return Cell(survey.project[:5], OK)


def _mlx_version(survey: Survey) -> str:
    return str(_python_of(survey).get("mlx", ""))


def _mlx(survey: Survey, usual: Usual, _backend: str) -> Cell:
    python = _python_of(survey)
    if python["problem"]:
        return Cell()
    if not python["mlx"]:
        return Cell("none", FAIL, [f"{python['path']} has no MLX; name one that has (mlx_python), or set mlx_environment"])
    cell = Cell(python["mlx"], OK)
    if other := usual.differs(survey, _mlx_version):
        cell.note(FAIL, f"is {python['mlx']}, and {other} on most hosts; install the same everywhere")
    return cell


def _core(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    python = _python_of(survey)
    if python["problem"] or not python["mlx"]:
        return Cell()
    if python["import_error"]:
        return Cell("error", FAIL, [f"import mlx.core fails in {python['path']}: {python['import_error']}; try it there by hand"])
    return Cell("ok", OK)


# -- the machine


def _system_of(survey: Survey) -> str:
    return " ".join(word for word in (survey.found["system"]["name"], survey.found["system"]["version"]) if word)


def _system(survey: Survey, usual: Usual, _backend: str) -> Cell:
    system = survey.found["system"]
    chip = system["chip"].removeprefix("Apple ")  # which says that it is macOS
    cell = Cell(f"{system['version']} {chip}" if chip else _system_of(survey), OK)
    if other := usual.differs(survey, _system_of):
        cell.note(WARN, f"is {_system_of(survey)}, and {other} on most hosts")
    limit = survey.found["open_files"]
    if limit is not None and limit < _OPEN_FILES:
        how = "sudo launchctl limit maxfiles 65536 200000" if system["name"] == "macOS" else "ulimit -n, limits.conf(5)"
        cell.note(WARN, f"a process may open {limit} files only; raise it ({how})")
    return cell


def _clock(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    if survey.offset is None:
        return Cell()
    cell = Cell(_seconds(survey.offset), OK)
    if abs(survey.offset) - survey.uncertainty > _CLOCK:
        mac = survey.found["system"]["name"] == "macOS"
        how = "sudo sntp -sS time.apple.com" if mac else "sudo timedatectl set-ntp true"
        ahead = "ahead of" if survey.offset > 0 else "behind"
        cell.note(WARN, f"{_seconds(abs(survey.offset)).lstrip('+')} {ahead} this machine's; set it ({how})")
    return cell


def _seconds(value: float) -> str:
    if abs(value) < 0.05:
        return "0.0s"
    if abs(value) < 100:
        return f"{value:+.1f}s"
    return f"{value / 60:+.0f}min" if abs(value) < 6000 else f"{value / 3600:+.0f}h"


def _disk(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    found = survey.found["disk"]
    cell = Cell(_size(found["free"]), OK)
    if found["free"] < _LITTLE_DISK:
        status = FAIL if found["free"] < _LEAST_DISK else WARN
        cell.note(status, f"{_size(found['free'])} are free at {found['path']}; make room there, or set mlx_root to another disk")
    return cell


def _memory(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    total, available = survey.found["memory"]["total"], survey.found["memory"]["available"]
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


# -- the network


def _addresses(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    problems = survey.found["addresses"]["problems"]
    if not problems:
        return Cell("ok", OK)
    cell = Cell("taken" if all(text.startswith("port ") for text in problems) else "wrong", OK)
    running = survey.found["leftovers"]["jobs"]
    for text in problems:
        more = f" (job {running[0]} runs there)" if running and text.startswith("port ") else ""
        advice = "" if text.startswith("port ") else "; set mlx_ips to its own"
        cell.note(FAIL, f"{text}{more}{advice}")
    return cell


def _neighbours(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    tried = [link for link in survey.links if link.tried]
    if not tried:
        return Cell()
    broken = [link for link in tried if link.problem]
    cell = Cell(f"{len(tried) - len(broken)}/{len(survey.links)}", OK)
    for link in broken[:_SHOWN]:
        cell.note(FAIL, _broken(link, survey.found["system"]["name"]))
    if len(broken) > _SHOWN:
        cell.note(FAIL, f"and {len(broken) - _SHOWN} more connections")
    return cell


_ADVICE = {
    errno.ECONNREFUSED: "something in between rejects it; look at firewalls",
    errno.ETIMEDOUT: "look at the cable, at firewalls, and whether mlx_ips names the right network",
    errno.EHOSTUNREACH: "look at the cable, and whether mlx_ips names the right network",
    errno.ENETUNREACH: "it has no address in that network; look at mlx_ips and its interfaces",
    # As macOS counts them, for a controller that counts otherwise.
    60: "look at the cable, at firewalls, and whether mlx_ips names the right network",
    61: "something in between rejects it; look at firewalls",
}
_LOCAL_NETWORK = (
    "on macOS 15 or newer, allow Local Network in Privacy settings for the app that this was started from, or reach that Mac by ssh; "
    "else look at the cable and mlx_ips"
)


def _broken(link: Link, system: str) -> str:
    source = f" from {link.source}" if link.source else ""
    advice = _ADVICE.get(link.errno, "look at what answers there" if not link.errno else "look at mlx_ips")
    if system == "macOS" and link.errno == _NO_ROUTE_ON_MAC:
        advice = _LOCAL_NETWORK
    return f"cannot reach {link.to} at {link.address}{source}: {link.problem}; {advice}"


def _mpirun(survey: Survey, usual: Usual, backend: str) -> Cell:
    found = survey.found["mpirun"]
    needed = backend == "mpi"
    if not found["path"]:
        return Cell("none", FAIL, ["mpirun is not there; put openmpi into the lock, install it, or set mlx_mpirun"]) if needed else Cell()
    cell = Cell(found["version"] or "yes", OK)
    if other := usual.differs(survey, lambda one: one.found["mpirun"]["path"]):
        cell.note(FAIL if needed else WARN, f"is {found['path']}, and {other} on most hosts; mpirun has to be at one path")
    elif other := usual.differs(survey, lambda one: one.found["mpirun"]["version"]):
        cell.note(FAIL if needed else WARN, f"is version {found['version']}, and {other} on most hosts")
    return cell


# -- what is left


def _leftovers(survey: Survey, _usual: Usual, _backend: str) -> Cell:
    found = survey.found["leftovers"]
    count = sum(len(found[name]) for name in ("folders", "processes", "staging", "environments"))
    cell = Cell(str(count) if count else "job" if found["jobs"] else "none", OK)
    if found["processes"]:
        named = _some([f"{name} ({pid})" for pid, name, _mark in found["processes"]])
        pids = " ".join(str(pid) for pid, _name, _mark in found["processes"][:_SHOWN])
        cell.note(FAIL, f"processes of jobs that are over: {named}; end them: kill {pids}")
    if found["folders"]:
        cell.note(WARN, f"folders of jobs that are over: {_some(found['folders'])}; remove them, or let a later job do it after a day")
    if found["staging"]:
        cell.note(WARN, f"transfers that broke off: {_some(found['staging'])}; the next mlxlaunch sync removes them")
    if found["environments"]:
        cell.note(WARN, f"environments that were not completed: {_some(found['environments'])}; the next mlxlaunch sync removes them")
    return cell


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


_COLUMNS: dict[str, Callable[[Survey, Usual, str], Cell]] = {
    "python": _python,
    "environment": _environment,
    "project": _project,
    "mlx": _mlx,
    "mlx.core": _core,
    "system": _system,
    "addresses": _addresses,
    "neighbours": _neighbours,
    "mpirun": _mpirun,
    "clock": _clock,
    "disk": _disk,
    "memory": _memory,
    "leftovers": _leftovers,
}
COLUMNS = ("reachable", "host key", *_COLUMNS)

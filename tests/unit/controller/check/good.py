"""Hosts with which all is well, for tests of rules: a part of what was found is replaced by something worse."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts, Link
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.assess import assess
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import Cell

GIB = 1024**3
DIGEST, OTHER = "3f2a91" + "0" * 58, "aaaaaa" + "1" * 58
PYTHON = {
    "path": "/opt/mlxlaunch/envs/k/bin/python",
    "problem": "",
    "import_error": "",
    "version": "3.12.4",
    "implementation": "cpython",
    "executable": "/opt/mlxlaunch/envs/k/bin/python",
    "program": "/opt/homebrew/Cellar/python@3.12/3.12.4/Frameworks/Python.framework/Versions/3.12/bin/python3.12",
    "machine": "arm64",
    "platform": "darwin",
    "mlx": "0.32.4",
}
FOUND: dict[str, Any] = {
    "system": {"name": "macOS", "version": "26.2", "build": "25C56", "chip": "Apple M3 Ultra", "machine": "arm64"},
    "python": PYTHON,
    "root": {"path": "/opt/mlxlaunch", "problem": ""},
    "environment": {"path": "/opt/mlxlaunch/envs/k", "state": "complete", "digest": DIGEST, "problem": ""},
    "project": {"path": "/opt/mlxlaunch/projects/llm/77", "state": "present", "edited": [], "extra": [], "closed": ""},
    "script": [],
    "addresses": {"own": [["en5", "10.0.0.1"]], "problems": []},
    "mpirun": {"path": "/opt/homebrew/bin/mpirun", "version": "5.0.8"},
    "disk": {"path": "/Users/Shared", "free": 800 * GIB, "total": 1000 * GIB},
    "kept": "",
    "memory": {"total": 512 * GIB, "available": 480 * GIB, "wired": 470 * GIB},
    "open_files": 65536,
    "processes": 4096,
    "ends_with_login": False,
    "stray": [],
    "reports": {
        "answers": {
            "power_settings.txt": "AC Power:\n autorestart          1\n disksleep            0\n sleep                0\n",
            "filevault.txt": "FileVault is Off.\n",
            "firewall.txt": "Firewall is disabled. (State = 0)\nBlock all DISABLED! \n",
            "owners.txt": "",
        },
        "failed": {},
    },
    "fast_synch": None,
    "leftovers": {"jobs": [], "folders": [], "processes": [], "staging": [], "environments": []},
}


def facts(host: str, change: dict[str, Any] | None = None, **fields: Any) -> HostFacts:
    """Return the facts of a good host, with parts of what was found replaced."""
    found = copy.deepcopy(FOUND)
    for name, value in (change or {}).items():
        found[name] = {**found[name], **value} if isinstance(value, dict) and isinstance(found[name], dict) else value
    links = [Link("other", "10.0.0.2:32324", "10.0.0.1", tried=True)]
    good = {"ranks": (0,), "found": found, "project": "77" * 32, "offset": 0.01, "uncertainty": 0.01, "links": links}
    return HostFacts(host, **{**good, **fields})


def cells(*hosts: HostFacts, backend: str = "ring", dry_run: bool = False) -> list[dict[str, Cell]]:
    """Return the cells of each."""
    return [row.cells for row in assess({one.host: one for one in hosts}, backend, dry_run=dry_run)]


def cell(column: str, change: dict[str, Any] | None = None, **fields: Any) -> Cell:
    """Return one cell of a host among two that are good."""
    return cells(facts("a"), facts("b"), facts("c", change, **fields))[2][column]


def mac(column: str, backend: str = "ring", own: Mapping[str, Any] | None = None, **answers: str) -> Cell:
    """Return one cell of a Mac whose programs have other answers, by name without its ending; the others are good.

    Args:
        column: name of the cell.
        backend: of the job.
        own: other fields of its facts.
        answers: texts.
    """
    reports = {"answers": {**FOUND["reports"]["answers"], **{f"{name}.txt": text for name, text in answers.items()}}, "failed": {}}
    return cells(facts("a"), facts("b"), facts("c", {"reports": reports}, **(own or {})), backend=backend)[2][column]


def states(column: str, *hosts: HostFacts, backend: str = "ring") -> list[str]:
    """Return the status of one column by host."""
    return [found[column].status for found in cells(*hosts, backend=backend)]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about Python, MLX, mpirun, and what is deployed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...job.check_row import FAIL, OK, UNKNOWN, WARN, Cell
from ...output.columns import named
from ..facts import HostFacts
from .cluster import Cluster, Rules


def _python_of(host: HostFacts) -> Mapping[str, Any]:
    found: Mapping[str, Any] = host.found["python"]
    return found


def _root_problem(host: HostFacts) -> str:
    return str((host.found["root"] or {}).get("problem", ""))


def _root(host: HostFacts, _cluster: Cluster) -> Cell:
    if not host.found["root"]:
        return Cell()
    cell = Cell(host.found["root"]["path"], OK)
    if problem := _root_problem(host):
        cell.note(FAIL, problem)
    return cell


def _version(host: HostFacts) -> str:
    return str(_python_of(host).get("version", ""))


def _minor(host: HostFacts) -> str:
    return _version(host).rpartition(".")[0]


def _python(host: HostFacts, cluster: Cluster) -> Cell:
    python = _python_of(host)
    environment = host.found["environment"]
    if python["problem"]:
        if _root_problem(host) or (environment and environment["state"] != "complete"):
            return Cell()  # that is reported, and it comes with the environment
        return Cell("none", FAIL, [f"{python['problem']}; set mlx_python, or let mlx_environment make one"])
    cell = Cell(_version(host), OK)
    if other := cluster.differs(host, _minor):
        cell.note(FAIL, f"is {_version(host)}, and {other} on most hosts; use the same minor version everywhere (mlx_python)")
    elif other := cluster.differs(host, _version):
        cell.note(WARN, f"is {_version(host)}, and {other} on most hosts")
    if other := cluster.differs(host, lambda one: _python_of(one)["path"]):
        cell.note(WARN, f"is {python['path']}, and {other} on most hosts; mlx.launch wants one path everywhere")
    # Translated by Rosetta, it runs and finds no Metal.
    if host.found["system"]["chip"].startswith("Apple") and (python["platform"], python["machine"]) == ("darwin", "x86_64"):
        cell.note(FAIL, f"{python['path']} is built for {python['machine']}; MLX needs one for arm64")
    return cell


def _to_deploy(cluster: Cluster, value: str, fault: str, work: str) -> Cell:
    """Return the cell of a fault that a deploy mends; a doubt in a dry run, which deploys nothing."""
    if cluster.dry_run:
        return Cell(value, WARN, [f"{fault}; a deploy would {work}, and does not in check mode"])
    return Cell(value, FAIL, [f"{fault}; run mlxlaunch sync to {work}"])


def _environment(host: HostFacts, cluster: Cluster) -> Cell:
    found = host.found["environment"]
    if not found:
        return Cell()
    if found["state"] != "complete":
        if found["problem"]:
            return Cell("closed", FAIL, [found["problem"]])
        value = {"absent": "none", "incomplete": "part"}.get(found["state"], found["state"])
        return _to_deploy(cluster, value, f"{found['path']} is {found['state']}", "make it")
    if found["problem"]:
        return Cell("edited", FAIL, [f"{found['problem']}; remove that directory there and run mlxlaunch sync"])
    cell = Cell(found["digest"][:5], OK)
    other = cluster.differs(host, lambda one: (one.found["environment"] or {}).get("digest"))
    if other:
        cell.note(FAIL, f"is {found['digest'][:12]}, and {other[:12]} on most hosts; run mlxlaunch sync")
    return cell


def _project(host: HostFacts, cluster: Cluster) -> Cell:
    found = host.found["project"]
    if host.found["script"]:
        return Cell("none", FAIL, [f"{text}; bring it there, or let mlxlaunch sync do it" for text in host.found["script"]])
    if _root_problem(host):
        return Cell()
    if not found:
        return Cell(host.project[:5], OK) if host.project else Cell()  # the script is there by other means than ours
    if found["closed"]:
        return Cell("closed", FAIL, [found["closed"]])
    if found["state"] == "absent":
        return _to_deploy(cluster, "none", f"{found['path']} is not there", "bring it")
    if found["edited"]:
        files = named(found["edited"])
        return _to_deploy(cluster, "edited", f"files in {found['path']} were edited by hand: {files}", "replace them")
    cell = Cell(host.project[:5], OK)
    if found["extra"]:
        files = named(found["extra"])
        cell.note(WARN, f"Python files in {found['path']} are not part of the project: {files}; an import may find them, remove them there")
    return cell


def _mlx_version(host: HostFacts) -> str:
    return str(_python_of(host).get("mlx", ""))


def _mlx(host: HostFacts, cluster: Cluster) -> Cell:
    python = _python_of(host)
    if python["problem"]:
        return Cell()
    if not python["mlx"]:
        return Cell("none", FAIL, [f"{python['path']} has no MLX; name one that has (mlx_python), or set mlx_environment"])
    cell = Cell(python["mlx"], OK)
    if other := cluster.differs(host, _mlx_version):
        cell.note(FAIL, f"is {python['mlx']}, and {other} on most hosts; install the same everywhere")
    if other := cluster.differs(host, _fast_synch):
        cell.note(
            WARN, f"MLX_METAL_FAST_SYNCH is {_fast_synch(host)}, and {other} on most hosts; leave it unset everywhere, as MLX advises"
        )
    return cell


def _fast_synch(host: HostFacts) -> str:
    """Return the value that the ranks get of a variable which has to be the same on all hosts."""
    return host.found["fast_synch"] or "unset"


def _core(host: HostFacts, _cluster: Cluster) -> Cell:
    python = _python_of(host)
    if python["problem"] or not python["mlx"]:
        return Cell()
    if python["import_error"]:
        return Cell("error", FAIL, [f"import mlx.core fails in {python['path']}: {python['import_error']}; try it there by hand"])
    return Cell("ok", OK)


def _mpirun(host: HostFacts, cluster: Cluster) -> Cell:
    found = host.found["mpirun"]
    needed = cluster.backend == "mpi"
    if not found["path"]:
        return Cell("none", FAIL, ["mpirun is not there; put openmpi into the lock, install it, or set mlx_mpirun"]) if needed else Cell()
    cell = Cell(found["version"] or "yes", OK if needed else UNKNOWN)
    if other := cluster.differs(host, lambda one: one.found["mpirun"]["path"]):
        cell.note(FAIL if needed else WARN, f"is {found['path']}, and {other} on most hosts; mpirun has to be at one path")
    elif other := cluster.differs(host, lambda one: one.found["mpirun"]["version"]):
        cell.note(FAIL if needed else WARN, f"is version {found['version']}, and {other} on most hosts")
    return cell


RULES: Rules = {
    "python": _python,
    "environment": _environment,
    "project": _project,
    "mlx": _mlx,
    "mlx.core": _core,
    "mpirun": _mpirun,
    "root": _root,
}

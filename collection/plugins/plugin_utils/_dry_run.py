# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what a launch would do, told without asking a host.

Values of the user's variables are hidden unless asked for: which of them are secret nobody can tell, and a plan is made
to be shown around. What only the hosts know stands in angle brackets; `unknown` says what it would be.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils import _manifest as manifest
from ..module_utils._processes import MARK
from ._deploy import MAC_ROOT, ROOT, default_root
from ._environments import environment_from
from ._hashes import project_digest
from ._mpi import MpiJob
from ._plan import Deployed, HostSettings, JobPlan
from ._project import Project
from ._settings import JobSettings

HIDDEN = "***"
_ROOT, _KEY, _FOLDER, _ID = "<root>", "<key>", "<folder>", "<id>"
_LIBMPI, _MPIRUN, _AGENT, _STAND_IN = "<libmpi>", "<mpirun>", "<agent>", "<stand-in>"
_MEANING = {
    _ROOT: f"{ROOT}, or {MAC_ROOT} if all hosts are Macs (mlx_root, --root)",
    _KEY: "told by the lock, and by Python and platform of the hosts",
    _FOLDER: "a directory of this job in the host's temporary directory",
    _ID: "the job's id",
    _LIBMPI: "the library beside mpirun",
    _MPIRUN: "the first of the paths that every host has; as root with --allow-run-as-root",
    _AGENT: "a program of this job that takes the place of ssh",
    _STAND_IN: "a program of this job that has the host's supervisor start the rank",
}


def expected(settings: JobSettings, project: Project | None, *, environment: bool, local: bool) -> Deployed:
    """Return what would be on the hosts after the deploy, as far as that can be told here.

    Args:
        settings: those of the job.
        project: what would be brought, None for nothing.
        environment: whether an environment would be made, or found there.
        local: whether all ranks run on this machine.
    """
    root = settings.root or (default_root({"": {"system": platform.system()}}) if local else _ROOT)
    deployed = Deployed(root=root)
    if environment:
        deployed.environment = f"{root}/envs/{_KEY}"
    if project:
        deployed.project_digest = project_digest(project)
        deployed.project = f"{root}/projects/{project.name}/{manifest.short(deployed.project_digest)}"
        deployed.script = os.path.normpath(f"{deployed.project}/{project.script}") if project.script else ""
    return deployed


def describe(
    settings: JobSettings, hosts: Sequence[HostSettings], plan: JobPlan, deployed: Deployed, project: Project | None, ssh: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a job would be, as plain data.

    Args:
        settings: those of the job.
        hosts: what is set for each.
        plan: the job as it would run with what is `expected` to be deployed.
        deployed: that.
        project: what it comes from.
        ssh: how mlx.launch would call each host.
    """
    given = {host.name: host.env for host in hosts}
    ranks = [row for name, spec in plan.specs.items() for row in _ranks(name, spec, plan, {} if settings.verbose else given[name])]
    made = {
        "backend": settings.backend,
        "world_size": plan.table.world_size,
        "ranks": sorted(ranks, key=lambda row: row["rank"]),
        "hostfile": _hostfile(settings.backend, plan, ssh),
        "files": dict(next(iter(plan.specs.values()))["files"]),
        "deploy": {"project": _project(settings, deployed, project), "environment": _environment(settings, deployed)},
        "mpirun": _mpirun(plan.mpi) if plan.mpi else None,
    }
    text = str(made)
    unknown = {name: meaning for name, meaning in _MEANING.items() if name in text}
    if plan.ports:
        unknown[f"{plan.ports.bases[0]}..."] = "the ports to be tried first; a launch takes a range that is free on every host"
    return {**made, "unknown": unknown}


def _ranks(host: str, spec: Mapping[str, Any], plan: JobPlan, secret: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for rank, told in zip(plan.table.of_host(host), spec["ranks"], strict=True):
        # A variable that the backend, or this project, sets to another value is nobody's secret.
        env = {name: HIDDEN if secret.get(name) == value else value for name, value in told["env"].items()}
        env |= {name: f"{_FOLDER}/{name}" for name in spec["files"]} | {MARK: f"{_ID}.{spec['index']}"}
        if plan.mpi:
            env["MLX_MPI_LIBNAME"] = _LIBMPI
        rows.append(
            {
                "rank": rank.rank,
                "host": host,
                "local_rank": rank.local_rank,
                "local_size": rank.local_size,
                "ips": list(rank.ips),
                "listen": list(rank.listen or (spec["listen"] if rank.rank == 0 else ())),
                "argv": list(told["argv"]),
                "command": shlex.join(told["argv"]),
                "cwd": spec["cwd"] or spec["default_cwd"],
                "cwd_or_home": not spec["cwd"],
                "env": dict(sorted(env.items())),
            }
        )
    return rows


def _hostfile(backend: str, plan: JobPlan, ssh: Mapping[str, str]) -> dict[str, Any]:
    """Return the hostfile with which mlx.launch would start the same ranks, without the variables."""
    rows = zip(plan.table.ranks, plan.rdma, strict=True)
    hosts = [{"ssh": ssh[rank.host], "ips": list(rank.ips), **({"rdma": list(rdma)} if rdma else {})} for rank, rdma in rows]
    return {"backend": backend, "envs": [], "hosts": hosts}


def _project(settings: JobSettings, deployed: Deployed, project: Project | None) -> dict[str, Any] | None:
    if not project:
        return None
    found = {"source": settings.project_dir or settings.script, "path": deployed.project, "digest": deployed.project_digest}
    # A script that every host has at its path, with the same content, is run there.
    return {**found, "or_at": os.path.abspath(settings.script) if project.alone else ""}


def _environment(settings: JobSettings, deployed: Deployed) -> dict[str, Any] | None:
    if not deployed.environment:
        return None
    digest = environment_from(settings).question("")["lock"]
    return {"source": settings.environment, "path": deployed.environment, "digest": digest}


def _mpirun(mpi: MpiJob) -> dict[str, Any]:
    """Return where mpirun is looked for, and how it is called: which of them a host has, it only tells when asked."""
    commands = {}
    for series in ("5", "4"):
        words = mpi.command(_MPIRUN, series, root=False)
        known = words[: words.index("/bin/sh")]  # then come the sources of a program of ours
        commands[series] = [_AGENT if word == "{agent}" else word for word in known] + [_STAND_IN]
    return {"candidates": list(mpi.candidates), "commands": commands}

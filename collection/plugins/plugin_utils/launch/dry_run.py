# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dry run of a launch: its plan as plain data, made without asking a host.

Values of the user's variables are hidden unless asked for: any of them may be a secret, and a plan is made to be shown
to others. Values that only the hosts know are placeholders in angle brackets; `unknown` explains each.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...module_utils.lead.mpi_job import MpiJob
from ...module_utils.shared import manifest
from ...module_utils.shared.names import MARK, MARK_FORMAT
from ...module_utils.shared.spec import HostSpec
from ..deploy.environments import environment_from
from ..deploy.project import Project
from ..deploy.scan import project_digest
from ..hosts.access import ROOT, chosen_root, own_roots
from ..job.deployed import Deployed
from ..job.host_settings import HostSettings
from ..job.settings import JobSettings
from ..output.plan_text import headline
from ..plan.plan import JobPlan
from .planning import plan as plan_launch
from .request import LaunchRequest
from .result import rank_result

HIDDEN = "***"
_ROOT, _KEY, _FOLDER, _ID = "<root>", "<key>", "<folder>", "<id>"
_LIBMPI, _MPIRUN, _AGENT, _STAND_IN = "<libmpi>", "<mpirun>", "<agent>", "<stand-in>"
_MEANING = {
    _KEY: "told by the lock, and by Python and platform of the hosts",
    _FOLDER: "a directory of this job in the host's temporary directory",
    _ID: "the job's id",
    _LIBMPI: "the library beside mpirun",
    _MPIRUN: "the first of the paths that every host has; as root with --allow-run-as-root",
    _AGENT: "a program of this job that takes the place of ssh",
    _STAND_IN: "a program of this job that has the host's supervisor start the rank",
}
_MEANING_OF_ADDRESS = "the address by which %s is reached, which it tells at the launch; set mlx_ips for another"


def dry_run(request: LaunchRequest, ssh: Mapping[str, str], report: Callable[..., None]) -> dict[str, Any]:
    """Report the plan of a launch, and return the result of the task.

    Args:
        request: the job.
        ssh: the name by which mlx.launch would call each host.
        report: takes an event.
    """
    project = request.project
    deployed = expected_deploy(request.settings, project, environment=request.wants_environment, local=request.local)
    planned = plan_data(request.settings, request.hosts, plan_launch(request, deployed), deployed, project, ssh)
    report("job_planned", plan=planned)
    return {
        "returncode": 0,
        "cause": "planned",
        "message": f"would run {headline(planned)}",
        "plan": planned,
        # As of a job, for tasks after it.
        "ranks": [rank_result(rank["rank"], rank["host"]) for rank in planned["ranks"]],
        "cwd": planned["ranks"][0]["cwd"],
    }


def expected_deploy(settings: JobSettings, project: Project | None, *, environment: bool, local: bool) -> Deployed:
    """Return the paths that would be on the hosts after the deploy, as far as they are known here.

    Args:
        settings: those of the job.
        project: the project that would be deployed, or None.
        environment: whether an environment would be made, or found there.
        local: whether all ranks run on this machine.
    """
    here = {"": {"system": platform.system(), "root_user": os.geteuid() == 0, "home": os.path.expanduser("~")}}  # noqa: PTH111 - without a home it stays
    root = chosen_root(settings, here) if settings.root or local else _ROOT
    deployed = Deployed(root=root, environment=f"{root}/envs/{_KEY}" if environment else "")
    if not project:
        return deployed
    digest = project_digest(project)
    path = f"{root}/projects/{project.name}/{manifest.short(digest)}"
    script = os.path.normpath(f"{path}/{project.script}") if project.script else ""
    return replace(deployed, project=path, project_digest=digest, script=script)


def plan_data(
    settings: JobSettings, hosts: Sequence[HostSettings], plan: JobPlan, deployed: Deployed, project: Project | None, ssh: Mapping[str, str]
) -> dict[str, Any]:
    """Return the plan of a job as plain data.

    Args:
        settings: those of the job.
        hosts: those of each host.
        plan: the plan for the expected deploy.
        deployed: the result of that deploy.
        project: the project in it, or None.
        ssh: the name by which mlx.launch would call each host.
    """
    given = {host.name: host.env for host in hosts}
    ranks = [row for name, spec in plan.specs.items() for row in _ranks(name, spec, plan, {} if settings.verbose else given[name])]
    made = {
        "backend": settings.backend,
        "world_size": plan.table.world_size,
        "ranks": sorted(ranks, key=lambda row: row["rank"]),
        "hostfile": _hostfile(settings.backend, plan, ssh),
        "files": dict(next(iter(plan.specs.values())).files),
        "deploy": {"project": _project(settings, deployed, project), "environment": _environment(settings, deployed)},
        "mpirun": _mpirun(plan.mpi) if plan.mpi else None,
    }
    text = str(made)
    unknown = {_ROOT: _meaning_of_root()} if _ROOT in text else {}
    unknown |= {name: meaning for name, meaning in _MEANING.items() if name in text}
    unknown |= {name: _MEANING_OF_ADDRESS % host for host, name in (plan.late.asked if plan.late else {}).items() if name.startswith("<")}
    if plan.late and plan.late.ports:
        unknown[f"{plan.late.ports.bases[0]}..."] = "the ports to be tried first; a launch takes a range that is free on every host"
    return {**made, "unknown": unknown}


def _meaning_of_root() -> str:
    mac_root, other_root = own_roots()
    return f"{ROOT} where root deploys, else {mac_root} if all hosts are Macs, {other_root} otherwise (mlx_root, --root)"


def _ranks(host: str, spec: HostSpec, plan: JobPlan, secret: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for rank, rank_spec in zip(plan.table.of_host(host), spec.ranks, strict=True):
        # A variable that the backend or this project sets to another value is no secret.
        env = {name: HIDDEN if secret.get(name) == value else value for name, value in rank_spec.env.items()}
        env |= {name: f"{_FOLDER}/{name}" for name in spec.files} | {MARK: MARK_FORMAT % (_ID, spec.index)}
        if plan.mpi:
            env["MLX_MPI_LIBNAME"] = _LIBMPI
        rows.append(
            {
                "rank": rank.rank,
                "host": host,
                "local_rank": rank.local_rank,
                "local_size": rank.local_size,
                "ips": list(rank.ips),
                "listen": list(rank.listen or (spec.listen if rank.rank == 0 else ())),
                "argv": list(rank_spec.argv),
                "command": shlex.join(rank_spec.argv),
                "cwd": spec.cwd or spec.default_cwd,
                "cwd_or_home": not spec.cwd,
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
    return {**found, "with": project.neighbours, "or_at": os.path.abspath(settings.script) if project.alone else ""}


def _environment(settings: JobSettings, deployed: Deployed) -> dict[str, Any] | None:
    if not deployed.environment:
        return None
    digest = environment_from(settings).digest
    return {"source": settings.environment, "path": deployed.environment, "digest": digest}


def _mpirun(mpi: MpiJob) -> dict[str, Any]:
    """Return the paths at which mpirun is looked for, and its command line for each series that a host may have."""
    commands = {}
    for series in ("5", "4"):
        words = mpi.command(_MPIRUN, series, root=False)
        known = words[: words.index("/bin/sh")]  # the sources of a program of this project follow
        commands[series] = [_AGENT if word == "{agent}" else word for word in known] + [_STAND_IN]
    return {"candidates": list(mpi.candidates), "commands": commands}

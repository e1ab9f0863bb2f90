# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launchers that are compared, as command lines for the same job."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Host

from .bed import BIN, CHECKOUT, Bed

MLX_LAUNCH = "mlx.launch"
PLAIN_SSH = "plain ssh"
PLAYBOOK = "ansible-playbook"
COMMAND = "mlxlaunch run"
RUN_JOB = "run_job"
EMPTY, ONE_TASK = "empty playbook", "playbook of one task"


@dataclass(frozen=True)
class Job:
    """What to launch.

    Attributes:
        hosts: in rank order.
        script: path on the hosts, which see the checkout at its place. Ours do not look whether it is to be brought
            there, as the others do not; benchmarks/deploy.py has that.
        args: for the script.
        grace: seconds between TERM and KILL, for launchers that have such a thing.
        slots: ranks on each host.
        command: in place of Python and the script; ours only.
        backend: how ranks talk to each other; ours only.
    """

    hosts: Sequence[Host]
    script: Path
    args: tuple[str, ...] = ()
    grace: float = 10.0
    slots: int = 1
    command: tuple[str, ...] = ()
    backend: str = "ring"


@dataclass(frozen=True)
class Contestant:
    """One launcher.

    Attributes:
        name: as the report calls it.
        command: gives the command line; `sockets` is where control sockets of ssh go.
        plain_ssh: it calls `ssh HOST` and nothing can be said about how.
        keeps_masters: it can use ssh masters that are already open.
    """

    name: str
    command: Callable[[Bed, Job, Path], list[str]]
    plain_ssh: bool = False
    keeps_masters: bool = True


def _mlx_launch(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    options = ["--backend", "ring", "--hostfile", str(bed.hostfile(job.hosts, job.slots)), "--python", sys.executable]
    return [str(BIN / "mlx.launch"), *options, str(job.script), *job.args]


def _plain_ssh(_bed: Bed, job: Job, sockets: Path) -> list[str]:
    """One shell that starts all ssh at once. BatchMode and the shared connection are what Ansible uses too."""
    share = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={sockets}/%C"]
    command = shlex.join([sys.executable, str(job.script), *job.args])
    places = enumerate(host for host in job.hosts for _slot in range(job.slots))
    lines = [f"{shlex.join(['ssh', *share, host.name, f'MLX_RANK={rank} {command}'])} &" for rank, host in places]
    return ["/bin/sh", "-c", "\n".join([*lines, "wait"])]


def _playbook(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    what = {"mlx_command": job.command} if job.command else {"mlx_script": str(job.script), "mlx_args": job.args}
    variables = {**what, "mlx_python": sys.executable, "mlx_grace": job.grace, "mlx_sync": False, "mlx_backend": job.backend}
    return playbook(bed, job.hosts, "launch", variables, job.slots)


def playbook(bed: Bed, hosts: Sequence[Host], name: str, variables: Mapping[str, object], slots: int = 1) -> list[str]:
    """Return the command line of one of the project's playbooks."""
    inventory = ["-i", str(bed.inventory(hosts, slots))]
    return [str(BIN / "ansible-playbook"), *inventory, str(CHECKOUT / "playbooks" / f"{name}.yml"), "-e", json.dumps(variables)]


def _command(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    options = ["-i", str(bed.inventory(job.hosts, job.slots)), "--grace", f"{job.grace:g}", "--no-sync", "--backend", job.backend]
    return [*mlxlaunch(), "run", *options, *(["--", *job.command] if job.command else [str(job.script), *job.args])]


def mlxlaunch() -> list[str]:
    """Return the command, as it is installed."""
    installed = BIN / "mlxlaunch"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "mlxlaunch_ansible"]


def _empty_playbook(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    """Start Ansible with these hosts and nothing to do on them: it connects to none."""
    return _bare_playbook(bed, job, "empty", "[]")


def _one_task(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    """Start Ansible with an action that does nothing: what any task takes, and is not in the floor."""
    return _bare_playbook(bed, job, "task", "[{ansible.builtin.debug: {msg: nothing}, run_once: true}]")


def _bare_playbook(bed: Bed, job: Job, name: str, tasks: str) -> list[str]:
    path = bed.folder / f"{name}.yml"
    path.write_text(f"- hosts: mlx\n  gather_facts: false\n  tasks: {tasks}\n", encoding="utf-8")
    return [str(BIN / "ansible-playbook"), "-i", str(bed.inventory(job.hosts, job.slots)), str(path)]


def _run_job(bed: Bed, job: Job, _sockets: Path) -> list[str]:
    program = [sys.executable, str(Path(__file__).with_name("api.py"))]
    return [*program, str(bed.inventory(job.hosts, job.slots)), str(job.script), *job.args]


ALL = {
    contestant.name: contestant
    for contestant in (
        Contestant(MLX_LAUNCH, _mlx_launch, plain_ssh=True, keeps_masters=False),
        Contestant(PLAIN_SSH, _plain_ssh, plain_ssh=True),
        Contestant(PLAYBOOK, _playbook),
        Contestant(COMMAND, _command),
        Contestant(RUN_JOB, _run_job),
        Contestant(EMPTY, _empty_playbook, keeps_masters=False),
        Contestant(ONE_TASK, _one_task, keeps_masters=False),
    )
}
OURS = (PLAYBOOK, COMMAND, RUN_JOB)

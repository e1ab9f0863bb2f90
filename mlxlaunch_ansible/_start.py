# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to start a job from Python: `start_job`, `run_job`, and `plan_job`, which only asks for its plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from ._inventory import Inventory, with_ansible
from ._job import Job, JobFailed
from ._request import JobRequest, Surroundings
from ._result import Event, JobResult
from ._session import Session
from ._settings import AnsibleArguments, JobArguments, Settings, as_given, split_arguments

Handler = Callable[[Event], None]


def launch(
    inventory: Inventory,
    settings: Mapping[str, Any],
    surroundings: Surroundings,
    *,
    on_event: Handler | None = None,
    dry_run: bool = False,
    ranks: Sequence[Mapping[str, Any]] | None = None,
) -> Job:
    """Start a job for the API or the command line; see `JobRequest.of`."""
    request = JobRequest.of(inventory, settings, surroundings, dry_run=dry_run, ranks=ranks)
    return Job(Session(request, on_event).start())


def start_job(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    on_event: Handler | None = None,
    terminal: tuple[int, int] | None = None,
    dry_run: bool = False,
    **settings: Unpack[JobArguments],
) -> Job:
    """Start a job and return at once.

        with start_job(["127.0.0.1", "127.0.0.1"], "/opt/train.py") as job:
            for event in job:
                if event.event == "rank_output":
                    print(event.rank, event.data)
            print(job.wait().returncode)

    Args:
        inventory: path of an Ansible inventory or MLX hostfile, either of them as a mapping or list, a list of paths
            of inventories, or a list of host names or addresses with one rank each (127.0.0.1 is this machine,
            without ssh).
        script: run by Python on every rank. One that is here is brought to the hosts first; any other is a path there.
        on_event: called for every event, in a thread of the job; an exception it raises ends the job, and `wait`
            raises it.
        terminal: (columns, lines) for COLUMNS and LINES of the ranks.
        dry_run: ask no host and run nothing; the job_planned event has the plan, as `plan_job` returns it.
        **settings: as in docs/settings.md. An editor shows them, as `mlxlaunch_ansible._settings.Settings` does:
            what runs: args, command, env, cwd, python;
            where and how: group, backend, starting_port, connections_per_ip, nccl_port, mpirun, mpi_args, mpi_agent;
            deploy: sync, project_dir, exclude, environment, lock_extra, lock_group, wheelhouse, index_url, root, share,
                trust_owner, keep;
            time: grace, lease, connect_timeout, timeout;
            input and output: stdin, tty, verbose, log_dir, keep_runs;
            as for ansible-playbook: limit, extra_vars, user, private_key, become, become_user, vault_password_file.

    Raises:
        UsageError: inventory, hostfile or settings are wrong, as far as that shows before anything is started.
    """
    unknown = settings.keys() - Settings.__annotations__.keys() - AnsibleArguments.__annotations__.keys()
    if unknown:
        raise TypeError(f"start_job() got an unexpected keyword argument '{min(unknown)}'")
    own, ansible = split_arguments(settings)
    given = as_given({"script": script, "args": (), "command": (), **own})
    source = with_ansible(inventory, ansible, given)
    return launch(source, given, Surroundings.here(terminal=terminal), on_event=on_event, dry_run=dry_run)


def run_job(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    check: bool = False,
    on_event: Handler | None = None,
    terminal: tuple[int, int] | None = None,
    dry_run: bool = False,
    **settings: Unpack[JobArguments],
) -> JobResult:
    """Run a job to its end and return its result.

        result = run_job("inventory/hosts.yml", "/opt/train.py", args=["--lr", "1e-3"], check=True)
        print(result.ranks[0].stdout.read_text())

    Args:
        inventory, script, on_event, terminal, dry_run: as for `start_job`.
        check: raise JobFailed unless every rank returned 0, as `subprocess.run` does.
        **settings: as for `start_job`.

    Raises:
        UsageError: inventory, hostfile or settings are wrong; nothing was started.
        JobFailed: with `check`.
        LaunchError: the launch itself broke.
    """
    with start_job(inventory, script, on_event=on_event, terminal=terminal, dry_run=dry_run, **settings) as job:
        result = job.wait()
    if check and result.returncode:
        raise JobFailed(result)
    return result


def plan_job(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    on_event: Handler | None = None,
    terminal: tuple[int, int] | None = None,
    **settings: Unpack[JobArguments],
) -> dict[str, Any]:
    """Return the plan of a job. No host is asked and nothing is written.

        for rank in plan_job("inventory/hosts.yml", "train.py", backend="jaccl")["ranks"]:
            print(rank["rank"], rank["host"], rank["command"])

    Args:
        inventory, script, on_event, terminal: as for `start_job`.
        **settings: as for `start_job`. Without `verbose`, values of the user's variables are `***`.

    Returns plain data: backend, world_size, ranks (each with host, local_rank, local_size, ips, listen, argv, command,
    cwd, cwd_or_home, env), hostfile (for mlx.launch), files (content by variable), deploy (project, environment),
    mpirun (candidates, commands by series of Open MPI), and unknown: the meaning of words in angle brackets, which only
    the hosts could tell.

    Raises:
        UsageError: inventory, hostfile or settings are wrong.
        LaunchError: Ansible itself broke.
    """
    with start_job(inventory, script, on_event=on_event, terminal=terminal, dry_run=True, **settings) as job:
        plan: dict[str, Any] = job.outcome().details["plan"]
    return plan

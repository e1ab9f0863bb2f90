# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings as Python's arguments: their types, for editors and type checkers, and their form for Ansible's worker.

A test holds names, types and descriptions to those of the collection's one table of settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ._core import BY_NAME, COPY, absolute, at_home, plain

StrPath = str | os.PathLike[str]
Env = Mapping[str, str | int | float]


class DeploySettings(TypedDict, total=False):
    """Settings of a deploy. None stands for "not given".

    Attributes:
        group: Inventory group whose hosts run the ranks, in inventory order. Default: mlx.
        python: Python that runs the script, by its path on the hosts; with an environment, the one it is made with, by
            path or version. Default: the path of the Python that launches; for an environment of a lock, the newest
            that a host has.
        verbose: Tell more: hosts as they become ready, process ids, the ring's own messages.
        lease: Seconds of silence after which a host, or the launcher, is given up. Default: 30.0.
        connect_timeout: Seconds a host may take until it is ready. Default: 30.0.
        project_dir: Directory that goes to the hosts with the script in it; what .gitignore names stays. Default: the
            script, and what it imports from beside it.
        exclude: Patterns, as in .gitignore, of what else stays here.
        environment: Python environment to make on the hosts: a lock file with hashes, or `copy` for the one that
            launches. Default: none, see python.
        lock_extra: Extras of the project in a uv.lock or pylock.toml, such as mlx.
        lock_group: Dependency groups of the same, such as train.
        wheelhouse: Directory here that is filled with the wheels of the lock and sent, for hosts that reach no index.
        index_url: Package index. Default: what uv or pip is configured to use.
        root: Directory on the hosts for all that is deployed. Default: /opt/mlxlaunch where root deploys, else one with
            the name of the user who launches: /Users/Shared/mlxlaunch-USER if all hosts are Macs,
            /opt/mlxlaunch-USER otherwise.
        share: Who else on a host may read what is deployed: private for nobody, group, or world. Default: private.
        trust_owner: User on the hosts whose files in root are trusted like one's own and those of the system's root.
            Default: none.
        keep: Earlier environments and project versions that stay on the hosts. Default: 2.
    """

    group: str | None
    python: StrPath | None
    verbose: bool | None
    lease: float | None
    connect_timeout: float | None
    project_dir: StrPath | None
    exclude: Sequence[str] | None
    environment: StrPath | None
    lock_extra: Sequence[str] | None
    lock_group: Sequence[str] | None
    wheelhouse: StrPath | None
    index_url: str | None
    root: StrPath | None
    share: str | None
    trust_owner: str | None
    keep: int | None


class Settings(DeploySettings, total=False):
    """Settings of a job: those of its deploy, and these. None stands for "not given".

    Attributes:
        args: Arguments for the script.
        command: Any command to run in place of Python and a script.
        backend: Distributed backend. As with mlx.launch, `auto` is what the hostfile says, else `nccl` where the MLX
            that launches can use CUDA, else `ring`. Default: auto.
        env: Environment variables for the ranks; cluster, group, host, play and command line are merged, in that order.
        cwd: Working directory on the hosts; must exist there. Default: the current one where it exists, else home.
        starting_port: First port the ring listens on; counts up by rank, address and connection. With jaccl, rank 0
            listens on it. `auto` finds a range that is free on every host.
        connections_per_ip: Connections between neighbours of the ring, per address. Default: 1.
        mpirun: Path of mpirun on the hosts. Default: beside the Python, in the environment for example, else Homebrew's
            or the system's.
        mpi_args: Arguments for mpirun, split as a shell splits words.
        mpi_agent: How mpirun reaches the other hosts: channel, the connections that are there; or ssh, as each host is
            set up for it.
        nccl_port: Port rank 0 listens on, with nccl. Default: 12345.
        stdin: Who reads what is written to the launcher's standard input: all, none, or a rank. Default: all on the
            command line, when it is a terminal or has something, and none in Python. With ansible-playbook always none,
            as Ansible gives its workers no standard input.
        tty: Give the rank that reads standard input a terminal, for line editing and Ctrl-C there; its stderr then
            comes with its stdout. Ctrl-\\ ends the job.
        grace: Seconds a rank has between TERM and KILL. Default: 10.0.
        timeout: Seconds the ranks may run; 0 for no limit. Default: 0.0.
        log_dir: Directory on the controller that gets one run directory per job. Default: mlxlaunch/runs in the user's
            state directory.
        keep_runs: Run directories that stay on the controller, the newest ones, up to 180 days; 0 for all and always.
            Default: 200.
        sync: Bring script and environment to the hosts first.
    """

    args: Sequence[str] | None
    command: Sequence[str] | None
    backend: str | None
    env: Env | None
    cwd: StrPath | None
    starting_port: int | str | None
    connections_per_ip: int | None
    mpirun: StrPath | None
    mpi_args: Sequence[str] | None
    mpi_agent: str | None
    nccl_port: int | None
    stdin: str | int | None
    tty: bool | None
    grace: float | None
    timeout: float | None
    log_dir: StrPath | None
    keep_runs: int | None
    sync: bool | None


class AnsibleArguments(TypedDict, total=False):
    """Options of ansible-playbook. None stands for "not given".

    Attributes:
        limit: Pattern for the hosts of the inventory that take part.
        extra_vars: Variables for Ansible: a mapping, or texts as `-e` takes them. Settings are stronger.
        user: User who logs in on the hosts.
        private_key: Private key for ssh.
        become: Run as another user on the hosts.
        become_user: That user. Default: root.
        vault_password_file: File with the password of the vault.
    """

    limit: str | None
    extra_vars: Mapping[str, Any] | Sequence[str] | str | None
    user: str | None
    private_key: StrPath | None
    become: bool | None
    become_user: str | None
    vault_password_file: StrPath | None


class DeployArguments(DeploySettings, AnsibleArguments, total=False):
    """The keyword arguments of `sync`."""


class JobArguments(Settings, AnsibleArguments, total=False):
    """The keyword arguments of `start_job`."""


def split_arguments(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings among keyword arguments, and the options of ansible-playbook that were given."""
    ansible = {name: value for name, value in given.items() if name in AnsibleArguments.__annotations__}
    own = {name: value for name, value in given.items() if name not in ansible}
    return own, {name: value for name, value in ansible.items() if value is not None}


def as_given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as plain data, which JSON carries to Ansible's worker; None and an empty `env` are left out.

    A path on this machine becomes absolute, as the worker may run elsewhere. Values of the wrong type stay as they are:
    the check of settings refuses them, and unknown names, with a message for a person.
    """
    plain = {name: _plain(name, value) for name, value in settings.items() if value is not None}
    return {name: value for name, value in plain.items() if name != "env" or value != {}}


def _plain(name: str, value: Any) -> Any:
    if name == "environment" and value == COPY:
        return COPY
    kind = _kind(name)
    value = os.fsdecode(value) if kind in ("path", "host_path") and isinstance(value, bytes) else plain(value)
    if kind == "path" and isinstance(value, str) and value:
        return _absolute(name, value)
    return value


def _absolute(name: str, value: str) -> str:
    path = at_home(value)
    if path.startswith("~") or (path != value and name == "script" and not Path(path).exists()):
        return value  # refused later, or a script on the hosts
    return absolute(path)


def _kind(name: str) -> str:
    """Return a setting's type, nothing for an unknown name. A script is a path here, even if it is on the hosts too."""
    return "path" if name == "script" else BY_NAME[name].type if name in BY_NAME else ""

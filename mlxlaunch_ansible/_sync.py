# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy environment and project to the hosts without launching anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from ._core import LaunchError
from ._inventory import Inventory, with_ansible
from ._job import Running
from ._request import DEPLOY, JobRequest, Surroundings
from ._result import Event
from ._session import Session
from ._settings import DeployArguments, as_given, split_arguments


@dataclass(frozen=True)
class SyncResult:
    """The end of a deploy, and the paths of all that is on the hosts now.

    Attributes:
        returncode: 0; 3 when a host is unreachable or could not take it; 130 and 143 for interrupted and terminated.
        message: one line for a person.
        changed: by host, the parts that were brought there: `environment`, `project`; empty when all hosts had them.
        problems: by host, the errors.
        python: path of the environment's Python on the hosts, or empty.
        script: path of the script on the hosts, or empty.
        environment, environment_digest: its directory, and the digest that is the same everywhere.
        project, project_digest: its directory, and the digest that is the same everywhere.
    """

    returncode: int
    message: str
    changed: Mapping[str, Sequence[str]]
    problems: Mapping[str, Sequence[str]]
    python: str
    script: str
    environment: str
    environment_digest: str
    project: str
    project_digest: str

    @classmethod
    def from_event(cls, event: Event) -> SyncResult:
        """Return the result in a deploy_finished event."""
        told = dict(event.details)
        told["changed"] = told.pop("hosts_changed")
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})


class SyncFailed(LaunchError):
    """Some hosts lack a part of the deploy; `result` has the details."""

    def __init__(self, result: SyncResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode})")
        self.result = result


class Deployment(Running):
    """A deploy that was started."""

    def wait(self, timeout: float | None = None) -> SyncResult:
        """Wait for the end of the deploy and return its result.

        Raises as `Job.wait`, and a LaunchError for a deploy that was ended before any host was asked.
        """
        return SyncResult.from_event(self.outcome(timeout))


def start_sync(inventory: Inventory, settings: Mapping[str, Any], on_event: Callable[[Event], None] | None = None) -> Deployment:
    """Start a deploy for the API or the command line; settings are those of `sync` and its script."""
    own, ansible = split_arguments(settings)
    given = as_given(own)
    request = JobRequest.of(with_ansible(inventory, ansible, given), given, Surroundings.here(), playbook=DEPLOY)
    return Deployment(Session(request, on_event).start())


def sync(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    check: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **settings: Unpack[DeployArguments],
) -> SyncResult:
    """Bring a script and the environment to all hosts, and return where they are.

        print(sync("inventory/hosts.yml", "train.py", environment="requirements.lock").python)

    Args:
        inventory, on_event: as for `start_job`.
        script: a script that is here.
        check: raise SyncFailed unless every host has everything.
        **settings: those of `start_job` that a deploy knows: project_dir, exclude, environment, lock_extra, lock_group,
            wheelhouse, index_url, root, share, keep, python, group, connect_timeout, lease, verbose; and its options of
            ansible-playbook.

    Raises:
        UsageError: inventory, hostfile, lock or settings are wrong; nothing was changed.
        SyncFailed: with `check`.
        LaunchError: Ansible itself broke.
    """
    with start_sync(inventory, {**settings, "script": script}, on_event) as deployment:
        result = deployment.wait()
    if check and result.returncode:
        raise SyncFailed(result)
    return result

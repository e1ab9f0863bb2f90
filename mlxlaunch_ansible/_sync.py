# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring environment and project to the hosts without launching anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._core import LaunchError
from ._inventory import Inventory
from ._job import Job, absolute_script
from ._result import Event

PLAYBOOK = "sync.yml"


@dataclass(frozen=True)
class SyncResult:
    """How a deploy ended, and what is on the hosts now.

    Attributes:
        returncode: 0; 3 when a host is unreachable or could not take it; 130 and 143 for interrupted and terminated.
        message: one line for a person.
        changed: by host, what was brought there: `environment`, `project`; empty when all hosts had it.
        problems: by host, what went wrong.
        python: path of the environment's Python on the hosts, or empty.
        script: path of the script on the hosts, or empty.
        environment, environment_digest: its directory, and what proves that it is the same everywhere.
        project, project_digest: its directory, and what proves that it is the same everywhere.
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
        """Return the result that a deploy_finished event tells."""
        told = dict(event.details)
        told["changed"] = told.pop("hosts_changed")
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})


class SyncFailed(LaunchError):
    """Not every host has what it should; `result` tells the rest."""

    def __init__(self, result: SyncResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode})")
        self.result = result


def sync(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    check: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> SyncResult:
    """Bring a script and the environment to all hosts, and return where they are.

        print(sync("inventory/hosts.yml", "train.py", environment="requirements.lock").python)

    Args:
        inventory, on_event: as for `start_job`.
        script: a script that is here.
        check: raise SyncFailed unless every host has everything.
        **settings: those of `start_job` that a deploy knows: project_dir, exclude, environment, wheelhouse, index_url,
            root, keep, python, group, connect_timeout, lease, verbose.

    Raises:
        UsageError: inventory, hostfile, lock or settings are wrong; nothing was changed.
        SyncFailed: with `check`.
        LaunchError: Ansible itself broke.
    """
    with start_sync(inventory, {**settings, "script": absolute_script(os.fspath(script))}, on_event) as job:
        result = SyncResult.from_event(job.outcome())
    if check and result.returncode:
        raise SyncFailed(result)
    return result


def start_sync(inventory: Inventory, settings: Mapping[str, Any], on_event: Callable[[Event], None] | None) -> Job:
    """Start a deploy and return its handle."""
    return Job(inventory, settings, on_event, {}, PLAYBOOK)

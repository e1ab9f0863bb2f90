# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preparation of hosts for jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS, check_work

from .._core import LaunchError, plain
from .._inventory import Inventory
from .._job import Running
from .._request import PREPARE, JobRequest, Surroundings
from .._result import Event
from .._session import Session
from .._settings import StrPath, as_given


class PrepareOptions(TypedDict, total=False):
    """What hosts are to have, and whether they are to be changed; see docs/prepare.md.

    An item that is not given is as the variables of each host say.

    Attributes:
        sleep: keep Macs awake.
        power_failure: let Macs start again after a power failure.
        wired_limit: memory that the GPU of a Mac may wire, in MB; "auto", or "off" to leave it alone.
        open_files: files that a process may have open; "off" to leave it alone.
        processes: processes that a user may have; "off" to leave it alone.
        firewall: let the ranks' Python accept connections through a Mac's firewall.
        linger: let the user's systemd manager on Linux outlive logins.
        apply: change the hosts.
        state: present, or absent to go back to what was recorded before.
        python: path of the ranks' Python on the hosts.
        group: inventory group whose hosts take part.
        connect_timeout: seconds a host may take until it answers.
        lease: seconds of silence after which a host is given up.
        verbose: tell more.
    """

    sleep: bool | None
    power_failure: bool | None
    wired_limit: int | str | None
    open_files: int | str | None
    processes: int | str | None
    firewall: bool | None
    linger: bool | None
    apply: bool | None
    state: str | None
    python: StrPath | None
    group: str | None
    connect_timeout: float | None
    lease: float | None
    verbose: bool | None


@dataclass(frozen=True)
class PrepareResult:
    """The hosts after a preparation.

    Attributes:
        returncode: 0 when all is as it is to be, or would be; 3 when a host cannot be asked or prepared; 130 and 143
            when it was interrupted.
        message: one line for a person.
        prepare: hosts with their items, and problems, see docs/prepare.md; None when it was interrupted.
        text: the table and its lines as text.
        changed: whether a host was changed, or would be.
    """

    returncode: int
    message: str
    prepare: Mapping[str, Any] | None
    text: str
    changed: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> PrepareResult:
        """Return the result in a prepare_finished event."""
        return cls(told["returncode"], told["message"], told["prepare"], told["text"], told["changed"])


class PrepareFailed(LaunchError):
    """A host could not be asked or prepared; `result` has the details."""

    def __init__(self, result: PrepareResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode})")
        self.result = result


class Preparation(Running):
    """A preparation that was started."""

    def wait(self, timeout: float | None = None) -> PrepareResult:
        """Wait for the end and return the result. Raises as `Job.wait`."""
        return PrepareResult.of(self.outcome(timeout).details)


def start_prepare(
    inventory: Inventory, options: Mapping[str, Any], on_event: Callable[[Event], None] | None = None, *, dry_run: bool = False
) -> Preparation:
    """Start a preparation; options are those of `prepare`."""
    given = {name: value for name, value in options.items() if value is not None}
    own = {name: plain(given.pop(name)) for name in OPTIONS if name in given}
    check_work(own)
    request = JobRequest.of(inventory, as_given(given), Surroundings.here(), playbook=PREPARE, own=own, dry_run=dry_run)
    return Preparation(Session(request, on_event).start())


def prepare(
    inventory: Inventory,
    *,
    check: bool = False,
    dry_run: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[PrepareOptions],
) -> PrepareResult:
    """Look at hosts; with `apply` prepare them for jobs, with `state="absent"` take that back.

        print(prepare("inventory/hosts.yml").text)
        prepare("inventory/hosts.yml", wired_limit="auto", apply=True, check=True)

    Args:
        inventory, on_event: as for `start_job`.
        check: raise PrepareFailed unless every host could be asked and, with `apply`, prepared.
        dry_run: change nothing, only tell.
        **options: see `PrepareOptions`.

    Raises:
        UsageError: inventory or options are wrong; no host was changed.
        PrepareFailed: with `check`.
        LaunchError: Ansible itself broke.
    """
    with start_prepare(inventory, options, on_event, dry_run=dry_run) as preparation:
        result = preparation.wait()
    if check and result.returncode:
        raise PrepareFailed(result)
    return result

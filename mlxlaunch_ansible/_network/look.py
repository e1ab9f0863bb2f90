# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at the network between hosts, and a plan of it for MLX."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import ABSENT, NAMES, check_wishes

from .._core import LaunchError, UsageError
from .._inventory import Inventory
from .._job import Running
from .._request import NETWORK, JobRequest, Surroundings
from .._result import Event
from .._session import Session
from .._settings import StrPath, as_given

WISHES = NAMES  # options that are about the plan; the others are settings
PATHS = ("output_hostfile", "output_vars", "record", "svg")  # on this machine


class NetworkOptions(TypedDict, total=False):
    """What the plan is to be like, and where its results go; see docs/network.md.

    Attributes:
        over: auto, thunderbolt or ethernet.
        backend: auto, ring, jaccl or jaccl-ring.
        require: topology that the cables have to make, ring or mesh.
        schema: of the hostfile, object or list.
        interface: interface for Ethernet on every host.
        subnet: block of addresses for the cables.
        output_hostfile: file that gets the hostfile of the plan.
        output_vars: directory that gets HOST/mlx_network.yml.
        record: new directory that gets the raw answers of the hosts, without names and addresses.
        svg: file that gets a picture.
        ignore_unreachable: plan without the hosts that cannot be asked.
        apply: give the ports of the plan their addresses, and verify the links.
        state: present, or absent to take back what an earlier call has set.
        measure: measure the links, and run an all_sum of MLX.
        group: inventory group whose hosts take part.
        connect_timeout: seconds a host may take until it answers.
        lease: seconds of silence after which a host is given up.
        verbose: tell more.
    """

    over: str | None
    backend: str | None
    require: str | None
    schema: str | None
    interface: str | None
    subnet: str | None
    output_hostfile: StrPath | None
    output_vars: StrPath | None
    record: StrPath | None
    svg: StrPath | None
    ignore_unreachable: bool | None
    apply: bool | None
    state: str | None
    measure: bool | None
    group: str | None
    connect_timeout: float | None
    lease: float | None
    verbose: bool | None


@dataclass(frozen=True)
class NetworkResult:
    """The network between hosts.

    Attributes:
        returncode: 0 with a plan; 3 when a host cannot be asked or set up, or there is none; 130 and 143 when it was
            interrupted.
        message: one line for a person.
        network: hosts, links, cables, topology, plan and findings, see docs/network.md; None when it was interrupted.
        text: the table and the topology as text.
        dot: the cables as a graph in the DOT language.
        files: files that were written.
        changed: whether a host or a file was changed, or would be.
    """

    returncode: int
    message: str
    network: Mapping[str, Any] | None
    text: str
    dot: str
    files: tuple[str, ...]
    changed: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> NetworkResult:
        """Return the result in a network_finished event, or of a recording."""
        return cls(told["returncode"], told["message"], told["network"], told["text"], told["dot"], tuple(told["files"]), told["changed"])


class NetworkFailed(LaunchError):
    """There is no plan, or a host could not be asked; `result` has the details."""

    def __init__(self, result: NetworkResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode})")
        self.result = result


class NetworkLook(Running):
    """A look at the network that was started."""

    def wait(self, timeout: float | None = None) -> NetworkResult:
        """Wait for the end and return the result. Raises as `Job.wait`."""
        return NetworkResult.of(self.outcome(timeout).details)


def start_network(
    inventory: Inventory, options: Mapping[str, Any], on_event: Callable[[Event], None] | None = None, *, dry_run: bool = False
) -> NetworkLook:
    """Start a look; options are those of `network`."""
    settings, wishes = _split(options)
    request = JobRequest.of(inventory, settings, Surroundings.here(), playbook=NETWORK, own=wishes, dry_run=dry_run)
    return NetworkLook(Session(request, on_event).start())


def replay_network(path: str | os.PathLike[str], options: Mapping[str, Any], *, dry_run: bool = False) -> NetworkResult:
    """Return the result of a look at a recording, for which no host is asked."""
    # Slow to import, and only needed here: in all other cases Ansible's worker plans.
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.outcome import look_at, network_result
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import read_recording

    settings, given = _split(options)
    needless = sorted(set(settings) - {"verbose"})
    if needless:
        raise UsageError(f"--replay asks no host; --{needless[0].replace('_', '-')} has no use there")
    wishes = check_wishes(given)
    if wishes.apply or wishes.measure or wishes.state == ABSENT:
        raise UsageError("--replay asks no host, so nothing can be set, undone or measured there")
    return NetworkResult.of(network_result(look_at(read_recording(os.fspath(path)), wishes), wishes, check=dry_run))


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings and wishes, both as plain data and checked as far as that is possible here."""
    given = {name: value for name, value in options.items() if value is not None}
    wishes = {name: given.pop(name) for name in WISHES if name in given}
    for name in PATHS:
        if name in wishes and isinstance(wishes[name], (str, os.PathLike)):
            wishes[name] = os.path.abspath(os.fspath(wishes[name])) if wishes[name] else ""
    check_wishes(wishes)
    return as_given(given), wishes


def network(
    inventory: Inventory | None = None,
    *,
    replay: StrPath | None = None,
    check: bool = False,
    dry_run: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[NetworkOptions],
) -> NetworkResult:
    """Look at the network between hosts and plan it; with `apply` set it up, with `state="absent"` take that back.

        print(network("inventory/hosts.yml", over="thunderbolt").text)
        network("inventory/hosts.yml", over="thunderbolt", apply=True, check=True)

    Args:
        inventory, on_event: as for `start_job`.
        replay: a recording to look at in place of hosts.
        check: raise NetworkFailed unless there is a plan, and all that was wished for is done.
        dry_run: change nothing and write no file, only tell.
        **options: see `NetworkOptions`.

    Raises:
        UsageError: inventory, recording or options are wrong; nothing was written.
        NetworkFailed: with `check`.
        LaunchError: Ansible itself broke.
    """
    if (inventory is None) == (replay is None):
        raise UsageError("network: want either hosts or a recording to replay")
    if replay is not None:
        result = replay_network(replay, options, dry_run=dry_run)
    elif inventory is not None:
        with start_network(inventory, options, on_event, dry_run=dry_run) as look:
            result = look.wait()
    if check and result.returncode:
        raise NetworkFailed(result)
    return result

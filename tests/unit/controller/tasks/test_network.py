"""The work of the network action: its options, its hosts and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import NAMES, check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.network import NetworkTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events, FakeFleet, access
from tests.unit.macs import Cluster, ring


class FakeHosts:
    """Hosts that must not be connected to."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def members(self, _group: str) -> list[HostSettings]:
        return [HostSettings(name, f"{name}.example") for name in self._names]

    def access_of(self, hosts: list[HostSettings], _settings: Any, become: bool | None = None) -> dict[str, Access]:  # noqa: ARG002
        return {host.name: access(host.name) for host in hosts}

    def ssh_name(self, host: HostSettings) -> str:
        return f"me@{host.address}"


def context(options: dict[str, Any], *, check_mode: bool = False) -> TaskContext:
    return TaskContext(options, None, None, None, {}, print, check_mode=check_mode)


def carried_out(cluster: Cluster, options: dict[str, Any], **how: Any) -> dict[str, Any]:
    """Return the result over agents that answer as these Macs do."""
    made = context(options, **how)
    task = NetworkTask(made, Request.of(made, {}, NAMES), cast("Hosts", FakeHosts([mac.name for mac in cluster.macs])))
    scripts = {
        name: {"network": {"format": 1, "system": each.system, "answers": dict(each.texts), "failed": {}}}
        for name, each in cluster.answers().items()
    }
    wishes = check_wishes(task._request.own)
    run = task._make_run(task._check(job=False), wishes, task._hosts.members("mlx"), FakeFleet(scripts))
    return task._carry_out(run, wishes, Events())


def test_result_has_the_plan_with_names_for_ssh(tmp_path: Path) -> None:
    found = carried_out(ring(3), {"output_vars": str(tmp_path)})
    assert (found["returncode"], len(found["files"])) == (0, 3)
    assert found["network"]["plan"]["ranks"][0]["ssh"] == "me@a.example"


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert len(carried_out(ring(3), {"output_vars": str(tmp_path)}, check_mode=True)["files"]) == 3
    assert list(tmp_path.iterdir()) == []


def test_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match="network: unknown option: subnets"):
        NetworkTask.of(context({"subnets": "10.0.0.0/22"}))

"""The work of the prepare action: its options, the variables of each host, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS, check_work
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.prepare import PrepareTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events, FakeFleet, access
from tests.unit.controller.prepare.answers import SLEEP, mac, row


class FakeHosts:
    """Hosts with variables, that must not be connected to."""

    def __init__(self, variables: Mapping[str, Mapping[str, Any]]) -> None:
        self._variables = variables

    def members(self, _group: str) -> list[HostSettings]:
        return [HostSettings(name, f"{name}.example", python=found.get("mlx_python", "")) for name, found in self._variables.items()]

    def variables(self, name: str) -> Mapping[str, Any]:
        return self._variables[name]

    def access_of(self, hosts: list[HostSettings], _settings: Any, become: bool | None = None) -> dict[str, Access]:  # noqa: ARG002
        return {host.name: access(host.name) for host in hosts}


def context(options: dict[str, Any], *, check_mode: bool = False) -> TaskContext:
    return TaskContext(options, None, None, None, {"ansible_playbook_python": "/here/python"}, print, check_mode=check_mode)


def carried_out(
    variables: Mapping[str, Mapping[str, Any]], options: dict[str, Any] | None = None, **how: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the result, and the request that each host got."""
    made = context(options or {}, **how)
    task = PrepareTask(made, Request.of(made, {}, OPTIONS), cast("Hosts", FakeHosts(variables)))
    fleet = FakeFleet({name: {"prepare": mac(row("sleep", "would change", **SLEEP))} for name in variables})
    work = check_work(task._request.own, dry_run=task._request.dry_run)
    run = task._make_run(task._check(job=False), work, task._hosts.members("mlx"), fleet)
    result = task._carry_out(run, Events())
    return result, {name: fleet.agents[name].named("prepare")[0] for name in variables}


def test_each_host_gets_what_its_own_variables_say() -> None:
    result, asked = carried_out(
        {
            "a": {"mlx_prepare_wired_limit": 98304, "mlx_python": "/opt/python"},
            "b": {"mlx_prepare_sleep": False, "mlx_prepare_firewall": False},
        }
    )
    assert asked["a"] == {
        "wishes": {"sleep": True, "power_failure": True, "wired_limit": 98304, "firewall": True},
        "trial": True,
        "python": "/opt/python",
    }
    assert asked["b"] == {"wishes": {"power_failure": True}, "trial": True, "python": "/here/python"}
    assert (result["returncode"], result["message"]) == (0, "2 items on 2 hosts to change; --apply changes them")


def test_options_are_stronger_and_for_all_hosts() -> None:
    _result, asked = carried_out({"a": {"mlx_prepare_sleep": False}, "b": {"mlx_python": "/b"}}, {"sleep": True, "python": "/opt/python"})
    assert [asked[host]["wishes"]["sleep"] for host in asked] == [True, True]
    assert [asked[host]["python"] for host in asked] == ["/opt/python", "/opt/python"]


def test_check_mode_changes_nothing_and_tells_what_would() -> None:
    result, asked = carried_out({"a": {}}, {"apply": True}, check_mode=True)
    assert (result["changed"], result["message"], asked["a"]["trial"]) == (True, "1 item on 1 host to be set", True)
    assert result["diff"][0]["after"] == "sleep: sleep 0, disksleep 0\n"


def test_wrong_variable_of_one_host_is_told_before_any_host_is_asked() -> None:
    with pytest.raises(UsageError, match="b: mlx_prepare_open_files: 'lots': want off"):
        carried_out({"a": {}, "b": {"mlx_prepare_open_files": "lots"}})


def test_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match="prepare: unknown option: sleeping"):
        PrepareTask.of(context({"sleeping": True}))

"""The work of the deploy action: which parts, and which hosts they need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.deploy import DeployTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events, access


class FakeHosts:
    """One host, that must not be connected to."""

    def members(self, _group: str) -> list[HostSettings]:
        return [HostSettings("a", "a")]

    def warnings(self, _group: str, _given: Any) -> list[str]:
        return []

    def access_of(self, hosts: list[HostSettings], _settings: Any) -> dict[str, Access]:
        return {host.name: access(host.name) for host in hosts}


class Recorded(DeployTask):
    """Keeps its events."""

    events: Events

    @contextlib.contextmanager
    def _reporting(self, settings: Any) -> Iterator[Any]:  # noqa: ARG002
        yield self.events


def task(options: dict[str, Any], *, diff: bool = False) -> Recorded:
    context = TaskContext(options, None, None, None, {}, print, diff=diff)
    found = Recorded(context, Request.of(context, {}, DeployTask.own_options), cast("Hosts", FakeHosts()))
    found.events = Events()
    return found


def test_unknown_part_is_named() -> None:
    with pytest.raises(UsageError, match="parts: models: want some of environment, project"):
        task({"parts": ["project", "models"]}).run()


def test_script_that_is_not_here_cannot_be_deployed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such script here"):
        task({"script": str(tmp_path / "none.py")}).run()


def test_nothing_to_deploy_reaches_no_host() -> None:
    one = task({})
    result = one.run()
    assert (result["returncode"], result["message"]) == (0, "nothing to do: all hosts have it")
    [(_host, finished)] = one.events.of("deploy_finished")
    assert finished == result


def test_part_that_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    options = {"parts": ["project"], "environment": str(tmp_path / "no-lock.txt")}
    assert task(options).run()["hosts_changed"] == {}


def test_diff_is_there_when_it_is_wanted() -> None:
    assert "diff" not in task({}).run()
    assert task({}, diff=True).run()["diff"] == []

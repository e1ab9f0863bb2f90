"""The work of the check action: which project the hosts are to have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.gather import Gather
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.check import CheckTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.check.good import facts
from tests.unit.controller.fleets import access


class FakeHosts:
    """Hosts that must not be connected to."""

    def warnings(self, _group: str, _given: Any) -> list[str]:
        return []

    def access_of(self, hosts: list[HostSettings], _settings: Any) -> dict[str, Access]:
        return {host.name: access(host.name) for host in hosts}


def gather(options: dict[str, Any], *, local: bool = False) -> Gather:
    """Return the rounds that a check of one host would make."""
    context = TaskContext({"backend": "ring", **options}, None, None, None, {}, print)
    task = CheckTask(context, Request.of(context, {}), cast("Hosts", FakeHosts()))
    host = HostSettings("a", "a", ips=("10.0.0.1",), local=local)
    return task._gather(task._check(job=False), [host])


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "train.py").write_text("pass\n")
    return str(tmp_path / "train.py")


def test_hosts_are_to_have_the_script_that_is_here(script: str) -> None:
    assert len(gather({"script": script}).facts["a"].project) == 64


@pytest.mark.parametrize(("options", "local"), [({"sync": False}, False), ({}, True), ({"script": "/only/there.py"}, False)])
def test_hosts_need_no_project(script: str, options: dict[str, Any], local: bool) -> None:
    assert gather({"script": script, **options}, local=local).facts["a"].project == ""


def test_missing_lock_is_refused_before_any_host_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the lock file is not there"):
        gather({"environment": str(tmp_path / "none.txt")})


class FakeGather:
    """Rounds that have been made."""

    def __init__(self) -> None:
        change = {"environment": {"state": "absent", "digest": ""}, "python": {"problem": "/e/bin/python is not there"}}
        self.facts = {"a": facts("a", change)}

    def run(self, _emit: Any) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(("check_mode", "returncode", "cause"), [(False, 3, "not_ready"), (True, 0, "ready")])
def test_environment_that_a_deploy_makes_is_missed_only_outside_of_check_mode(check_mode: bool, returncode: int, cause: str) -> None:
    context = TaskContext({"backend": "ring"}, None, None, None, {}, print, check_mode=check_mode)
    task = CheckTask(context, Request.of(context, {}), cast("Hosts", FakeHosts()))
    result = task._carry_out(cast("Gather", FakeGather()), task._check(job=False), lambda *_event, **_details: None)
    assert (result["returncode"], result["cause"]) == (returncode, cause)


def test_host_has_its_ranks_before_it_is_asked() -> None:
    found = gather({}).facts["a"]
    assert (found.ranks, found.found, found.failure) == ((0,), {}, "")

"""The environment that hosts can have together, and those that cannot have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.probes.environment import EnvironmentProbe
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import Environment, Locked
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.lockfile import Lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.unit.controller.fleets import FakeAgent, access, lost


def facts(version: str) -> dict[str, Any]:
    python = {"path": "/usr/bin/python3", "version": version, "implementation": "cpython"}
    return {"system": "Linux", "machine": "x86_64", "python": python}


def probe() -> EnvironmentProbe:
    return EnvironmentProbe(Locked(Lock("lock.txt", ()), "", ""), {"a": access("a")})


def test_key_is_that_of_most_hosts() -> None:
    found = probe()
    found.resolve({"a": facts("3.12.4"), "b": facts("3.11.9"), "c": facts("3.12.4")})
    alone = probe()
    alone.resolve({"c": facts("3.12.4")})
    assert found.key == alone.key
    assert list(found.failures) == ["b"]


def test_hosts_without_an_answer_do_not_count() -> None:
    found = probe()
    found.resolve({"a": None, "b": None})
    assert (found.key, found.failures) == ("", {})


def test_failed_question_is_no_failed_host() -> None:
    found = probe()
    assert found.ask(FakeAgent("a", {"hello": lost()}, lambda _host, _text: None), lease=30.0) is None
    assert found.failures == {"a": "silent for 30 s: network, host or sleep"}


def test_environment_for_no_host_is_the_failure_of_all() -> None:
    class Impossible:
        def resolve_key(self, facts: Mapping[str, Any]) -> str:
            raise UsageError(f"environment: copy: not for {len(facts)} hosts")

    found = EnvironmentProbe(cast("Environment", Impossible()), {})
    found.resolve({"a": facts("3.12.4"), "b": facts("3.12.4")})
    assert found.failures == dict.fromkeys("ab", "environment: copy: not for 2 hosts")
    assert found.key == ""

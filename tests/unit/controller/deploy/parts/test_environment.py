"""The environment as a part: made on the hosts, installed from wheels, or copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.environment import EnvironmentPart
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.part import DeployRefused, DeployRun, Ledger
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.sender import Sender
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.wheelhouse import Wheels
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import Agent
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from tests.unit.controller.fleets import Answer, Events, FakeFleet

ABSENT = {"environment": "absent", "environment_digest": ""}
FACTS = {"rsync": False}


@dataclass(frozen=True)
class FakeEnvironment:
    """An environment whose key is given."""

    source: Path | None = None
    wheels: Wheels | None = None
    digest: str = "lock"
    warnings: tuple[str, ...] = ()

    def request(self, wanted: str) -> dict[str, str]:
        return {"wanted": wanted, "lock": self.digest}

    def resolve_key(self, facts: Mapping[str, Mapping[str, Any]]) -> str:  # noqa: ARG002
        return "k"

    def prepare(self, facts: Mapping[str, Mapping[str, Any]], run: Any, progress: Callable[[str], object]) -> Wheels | None:  # noqa: ARG002
        return self.wheels

    def details(self, facts: Mapping[str, Any], wheels: Wheels | None) -> dict[str, Any]:  # noqa: ARG002
        return {"python": "/usr/bin/python3", "from_wheels": bool(wheels)}


class FakeSender(Sender):
    """Notes the directories that are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Path, str, list[str]]] = []

    def send_whole(self, agent: Agent, source: Path, target: str, only: Sequence[str] = ()) -> None:
        self.sent.append((agent.host, source, target, list(only)))


def deploy(environment: FakeEnvironment, script: Mapping[str, Answer]) -> tuple[Deployed, FakeFleet, FakeSender]:
    """Deploy to a host without an environment."""
    part = EnvironmentPart(environment)
    deployed = part.resolve({"a": FACTS}, Deployed(root="/root"))
    fleet, sender = FakeFleet({"a": script}), FakeSender()
    with fleet.open(Events()):
        run = DeployRun(fleet, Events(), Ledger(), {"a": FACTS}, sender)
        deployed = part.deploy(run, {"a": ABSENT}, deployed)
    return deployed, fleet, sender


def test_host_is_asked_for_the_python_that_is_set_for_it() -> None:
    part = EnvironmentPart(FakeEnvironment())
    assert part.request(Access(lambda _command: [], "", "3.12")) == {"environment": {"wanted": "3.12", "lock": "lock"}}


def test_environment_is_made_at_the_path_of_its_key() -> None:
    deployed, fleet, sender = deploy(FakeEnvironment(), {"build": {"digest": "d"}})
    assert deployed == Deployed(root="/root", environment="/root/envs/k", environment_digest="d")
    made = {"root": "/root", "key": "k", "python": "/usr/bin/python3", "from_wheels": False, "wheels": ""}
    assert fleet.agents["a"].calls == [("build", made)]
    assert sender.sent == []


def test_wheels_are_sent_before_the_environment_is_made() -> None:
    wheels = Wheels(Path("/house"), {"b.whl": "2", "a.whl": "1"})
    _deployed, fleet, sender = deploy(FakeEnvironment(wheels=wheels), {"wheels_folder": "/root/wheels/w", "build": {"digest": "d"}})
    assert sender.sent == [("a", Path("/house"), "/root/wheels/w", ["a.whl", "b.whl"])]
    assert fleet.agents["a"].named("wheels_folder") == [{"root": "/root", "wheelhouse": wheels.digest}]
    assert fleet.agents["a"].named("build")[0]["wheels"] == "/root/wheels/w"


def test_copy_is_sent_whole_and_finished() -> None:
    script = {"begin_copy": "/root/envs/.new", "finish_copy": {"digest": "d"}}
    deployed, fleet, sender = deploy(FakeEnvironment(source=Path("/venv")), script)
    assert deployed.environment_digest == "d"
    assert sender.sent == [("a", Path("/venv"), "/root/envs/.new", [])]
    assert [do for do, _arguments in fleet.agents["a"].calls] == ["begin_copy", "finish_copy"]


def test_copy_that_another_deploy_has_finished_is_not_sent() -> None:
    deployed, _fleet, sender = deploy(FakeEnvironment(source=Path("/venv")), {"begin_copy": "", "environment_digest": "d"})
    assert deployed.environment_digest == "d"
    assert sender.sent == []


def test_environments_that_were_there_are_proved_the_same_too() -> None:
    part = EnvironmentPart(FakeEnvironment())
    deployed = part.resolve({}, Deployed(root="/root"))
    fleet = FakeFleet({})
    run = DeployRun(fleet, Events(), Ledger(), {}, FakeSender())
    states = {host: {"environment": "complete", "environment_digest": digest} for host, digest in zip("abc", "xyx", strict=True)}
    with pytest.raises(DeployRefused) as refused:
        part.deploy(run, states, deployed)
    assert refused.value.problems == {"b": "its environment /root/envs/k is not the one that the others have"}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python environment as a part of a deploy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...hosts.access import Access
from ...hosts.agents import Agent
from ...hosts.progress import ProgressThrottle
from ...job.deployed import Deployed
from ..environments import Environment, most_frequent
from ..wheelhouse import Wheels
from .part import DeployRefused, DeployRun, Facts

ENVIRONMENT = "environment"


class EnvironmentPart:
    """One environment, at one path on all hosts.

    Args:
        environment: its kind and source.
    """

    name = ENVIRONMENT
    alone = False

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._key = ""

    def scan(self, deployed: Deployed) -> Deployed:
        return deployed

    def request(self, access: Access) -> dict[str, Any]:
        return {"environment": self._environment.request(access.python)}

    def resolve(self, facts: Facts, deployed: Deployed) -> Deployed:
        self._key = self._environment.resolve_key(facts)
        return replace(deployed, environment=f"{deployed.root}/envs/{self._key}")

    def identity(self) -> dict[str, str]:
        return {"key": self._key}

    def deploy(self, run: DeployRun, states: Facts, deployed: Deployed) -> Deployed:
        for text in self._environment.warnings:
            run.emit("warning", text=text)
        digests = {host: state["environment_digest"] for host, state in states.items() if state[ENVIRONMENT] == "complete"}
        hosts = [host for host in states if host not in digests]
        if hosts and run.check:
            run.note(ENVIRONMENT, deployed.environment, hosts)
            return deployed
        if hosts:
            throttle = ProgressThrottle(run.emit)
            wheels = self._environment.prepare(
                run.facts, run.fleet.subprocesses.run, lambda text: throttle.update(f"filling the wheelhouse: {text}")
            )
            digests |= run.deploy(
                ENVIRONMENT,
                deployed.environment,
                "making the environment on",
                lambda agent: self._make(agent, run, deployed.root, wheels),
                hosts,
            )
        return replace(deployed, environment_digest=_prove_same(deployed.environment, {host: digests[host] for host in states}))

    def _make(self, agent: Agent, run: DeployRun, root: str, wheels: Wheels | None) -> str:
        """Make it on a host and return its digest."""
        where = {"root": root, "key": self._key}
        details = {**where, **self._environment.details(run.facts[agent.host], wheels)}
        digest: str
        if self._environment.source:
            target = agent.call("begin_copy", **where)
            if target:
                run.sender.send_whole(agent, self._environment.source, target)
                digest = agent.call("finish_copy", **details)["digest"]
            else:
                digest = agent.call("environment_digest", **where)
        else:
            digest = agent.call("build", **details, wheels=_send_wheels(agent, run, root, wheels))["digest"]
        return digest


def _send_wheels(agent: Agent, run: DeployRun, root: str, wheels: Wheels | None) -> str:
    """Send the wheels to a host and return their directory there, "" for none."""
    if not wheels:
        return ""
    folder: str = agent.call("wheels_folder", root=root, wheelhouse=wheels.digest)
    run.sender.send_whole(agent, wheels.folder, folder, sorted(wheels.hashes))
    return folder


def _prove_same(path: str, digests: Mapping[str, str]) -> str:
    """Return the digest that all hosts have, or raise DeployRefused for those whose digest is not the usual one."""
    usual = most_frequent(list(digests.values()))
    different = {host: f"its environment {path} is not the one that the others have" for host in digests if digests[host] != usual}
    if different:
        raise DeployRefused(different)
    return usual

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which environment the hosts are to have, and which hosts cannot have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.environments import Environment, EnvironmentMismatch
from ...hosts.access import Access
from ...hosts.agents import Agent, HostFailed
from ...job.errors import UsageError


class EnvironmentProbe:
    """Finds the environment that a deploy would make, without making it.

    Args:
        environment: its kind and source.
        access: how each host is reached.

    Attributes:
        failures: why a host's environment is not known, by host.
        key: name of its directory on the hosts, "" while that is not known.
    """

    def __init__(self, environment: Environment, access: Mapping[str, Access]) -> None:
        self._environment = environment
        self._access = access
        self.failures: dict[str, str] = {}
        self.key = ""

    def ask(self, agent: Agent, **handshake: Any) -> dict[str, Any] | None:
        """Return the facts about a host's base interpreter, None where there is none that will do."""
        request = self._environment.request(self._access[agent.host].python)
        try:
            found: dict[str, Any] = agent.call("hello", **handshake, environment=request)
        except HostFailed as exc:
            self.failures[agent.host] = str(exc)
            return None
        return found

    def resolve(self, answers: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Decide on the key, from the answers of hosts, and note those that cannot have that environment."""
        facts = {host: found for host, found in answers.items() if found}
        if not facts:
            return
        try:
            self.key = self._environment.resolve_key(facts)
        except EnvironmentMismatch as exc:
            self.failures |= exc.problems
            self.resolve({host: found for host, found in facts.items() if host not in exc.problems})
        except UsageError as exc:
            self.failures |= dict.fromkeys(facts, str(exc))

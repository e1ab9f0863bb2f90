# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather the facts that a check judges, a round over all hosts at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..deploy.environments import Environment
from ..deploy.parts.project import ProjectPart
from ..hosts.access import Access, chosen_root, possible_roots
from ..hosts.agents import Agent
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit, ProgressThrottle
from ..job.deployed import Deployed
from ..job.errors import UsageError
from ..job.host_settings import HostSettings
from ..job.settings import JobSettings
from ..network.plan.wishes import JACCL, JACCL_RING
from ..plan.plan import JobPlan
from .facts import HostFacts
from .probes.clock import read_clock
from .probes.environment import EnvironmentProbe
from .probes.neighbours import NeighbourProbe

_REPORT_EVERY = 5.0  # seconds between reports about hosts that are not done
_FROM_SPEC = ("script", "cwd", "default_cwd", "addresses", "listen", "port_flag", "devices")

T = TypeVar("T")


def _devices(entries: Sequence[Any]) -> tuple[str, ...]:
    """Return the names in entries of an RDMA matrix, each once: an entry is None, a name, or several."""
    names = [name for entry in entries if entry for name in ([entry] if isinstance(entry, str) else entry)]
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Findings:
    """The facts so far, by host.

    Attributes:
        failures: why a host cannot be asked any more.
        clocks: (uncertainty, offset) of clocks.
        found: the answers to the survey.
    """

    failures: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, tuple[float, float]] = field(default_factory=dict)
    found: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class Gather:
    """The rounds of one check.

    Args:
        settings: those of the job.
        hosts: the settings of each.
        access: how each is reached.
        plan: gives the job as it would run with this deployed, and with these addresses of hosts that tell theirs.
        environment: the hosts are to have it; None when they need none.
        project: the same, scanned.
        fleet: the hosts, by default those of the plan.
    """

    def __init__(
        self,
        settings: JobSettings,
        hosts: Sequence[HostSettings],
        access: Mapping[str, Access],
        plan: Callable[[Deployed, Mapping[str, str]], JobPlan],
        environment: Environment | None,
        project: ProjectPart | None,
        fleet: Fleet | None = None,
    ) -> None:
        self._settings = settings
        self._hosts = {host.name: host for host in hosts}
        self._plan_for = plan
        self._addresses: dict[str, str] = {}
        self._plan = plan(Deployed(), {})
        self._environment = EnvironmentProbe(environment, access) if environment else None
        self._project = project
        self._neighbours = NeighbourProbe(self._plan.table, secrets.token_hex(16))
        self._fleet = fleet or Fleet({name: access[name] for name in self._plan.table.hosts}, settings)
        self._root = settings.root
        self._findings = Findings()

    @property
    def facts(self) -> dict[str, HostFacts]:
        """The facts by now, by host."""
        return {name: self._facts_of(name) for name in self._plan.table.hosts}

    def _facts_of(self, host: str) -> HostFacts:
        uncertainty, offset = self._findings.clocks.get(host, (0.0, None))
        return HostFacts(
            host,
            ranks=tuple(rank.rank for rank in self._plan.table.of_host(host)),
            local=self._hosts[host].local,
            failure=self._findings.failures.get(host, ""),
            environment_failure=self._environment.failures.get(host, "") if self._environment else "",
            found=self._findings.found.get(host, {}),
            project=self._project.digest if self._project else "",
            offset=offset,
            uncertainty=uncertainty,
            links=self._neighbours.links(host),
            ips=tuple(ip for rank in self._plan.table.of_host(host) for ip in rank.ips),
            rdma=_devices(self._hosts[host].rdma),
        )

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._fleet.stop()

    def run(self, emit: Emit) -> None:
        """Ask all hosts; afterwards `facts` has the answers.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            Cancelled: `stop` was called.
        """

        def ask(doing: str, request: Callable[[Agent], T]) -> Mapping[str, T]:
            return self._ask(doing, request, emit)

        with self._fleet.open(emit):
            facts = ask("waiting for", self._handshake)
            self._take_addresses(facts)
            if facts:
                self._root = chosen_root(self._settings, facts)
                if self._project:
                    self._project.resolve(facts, Deployed(root=self._root))
            ask("reading the clock of", self._read_clock)
            if self._environment:
                probe = self._environment
                probe.resolve(ask("looking for Python on", lambda agent: probe.ask(agent, **self._handshake_arguments())))
                self._plan_with(probe.key)
            ask("looking at", self._survey)
            ask("preparing connections between neighbours on", self._listen)
            ask("trying connections between neighbours from", self._dial)
            ask("waiting for", lambda agent: agent.call("hush"))

    def _ask(self, doing: str, request: Callable[[Agent], T], emit: Emit) -> Mapping[str, T]:
        """Return the answers of the hosts that can still be asked; note those that cannot any more."""
        hosts = [name for name in self._plan.table.hosts if name not in self._findings.failures]

        def text(pending: Sequence[str], _news: Mapping[str, str]) -> str:
            return f"{doing} {', '.join(pending)}"

        answers = self._fleet.ask(text, request, hosts, throttle=ProgressThrottle(emit, every=_REPORT_EVERY))
        self._findings.failures.update(answers.failed)
        return answers.results

    def _take_addresses(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Plan the job with the addresses by which hosts were reached; who could not be asked keeps its stand-in."""
        told = {host: found["address"] for host, found in facts.items() if found.get("address")}
        if not self._plan.late or not told:
            return
        try:
            self._plan, self._addresses = self._plan_for(Deployed(), told), told
        except UsageError as exc:
            self._findings.failures.update(dict.fromkeys(told, str(exc)))
        self._neighbours = NeighbourProbe(self._plan.table, secrets.token_hex(16))

    def _plan_with(self, key: str) -> None:
        """Plan the job as it runs in the environment."""
        if key:
            deployed = Deployed(root=self._root, environment=f"{self._root}/envs/{key}")
            self._plan = self._plan_for(deployed, self._addresses)

    # -- requests, each called in a thread per host; answers are noted at once, so that they survive a cancelled round

    def _handshake(self, agent: Agent) -> dict[str, Any]:
        script = self._project.script_request() if self._project and self._project.alone else None
        reached = self._plan.specs[agent.host].reached
        found: dict[str, Any] = agent.call("hello", **self._handshake_arguments(), environment=None, script=script, reached=reached)
        return found

    def _handshake_arguments(self) -> dict[str, Any]:
        settings = self._settings
        return {"lease": settings.lease, "roots": possible_roots(settings), "trust_owner": settings.trust_owner}

    def _read_clock(self, agent: Agent) -> None:
        self._findings.clocks[agent.host] = read_clock(agent)

    def _survey(self, agent: Agent) -> None:
        self._findings.found[agent.host] = agent.call("survey", spec=self._survey_spec(agent.host))

    def _survey_spec(self, host: str) -> dict[str, Any]:
        spec, probe = self._plan.specs[host], self._environment
        return {
            "root": self._root,
            "keep": self._settings.keep,
            "environment": probe.key if probe and host not in probe.failures else "",
            "project": (self._project.identity() or None) if self._project else None,
            "env": dict(self._hosts[host].env),
            **{name: getattr(spec, name) for name in _FROM_SPEC},
            "python": spec.python or "python3",
            "mpirun": spec.mpi.candidates if spec.mpi else [],
            "own": sorted({name for rank in spec.ranks for name in rank.env} | set(spec.files)),
            "rdma": self._settings.backend in (JACCL, JACCL_RING),
        }

    def _listen(self, agent: Agent) -> None:
        if not self._wrong_addresses(agent.host):  # else neighbours could not reach it; the reason is reported
            self._neighbours.listen(agent, self._plan.specs[agent.host].listen, self._working_python(agent.host))

    def _dial(self, agent: Agent) -> None:
        # From an address that is not its own it cannot connect, and that is reported already.
        from_source = not self._wrong_addresses(agent.host)
        self._neighbours.dial(agent, self._working_python(agent.host), from_source=from_source)

    def _wrong_addresses(self, host: str) -> bool:
        return bool(self._findings.found[host]["addresses"]["problems"])

    def _working_python(self, host: str) -> str:
        """Return the ranks' Python where it runs; empty for the agent's own."""
        found = self._findings.found[host]["python"]
        return "" if found["problem"] else found["executable"]

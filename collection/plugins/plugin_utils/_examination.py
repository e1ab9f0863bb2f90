# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: ask all hosts what a check wants to know, a phase at a time."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..module_utils import _manifest as manifest
from ._agents import Agent, Agents, HostFailed
from ._children import Children
from ._deploy import Access, default_root
from ._environments import Differ, Environment
from ._errors import UsageError
from ._hashes import scan_project
from ._plan import Deployed, HostSettings, JobPlan
from ._project import Project
from ._settings import JobSettings
from ._survey import Survey, links_of
from ._word import Word

_WORD_EVERY = 5.0  # seconds between words about what is being waited for
_DIAL = 3.0  # seconds until a connection that gets no answer is given up: two tries of TCP
_CLOCK_TRIES = 3

Report = Callable[..., None]  # event, host, details


class Examination:
    """One check of all hosts.

    Args:
        settings: those of the job.
        hosts: what is set for each.
        access: how each is reached.
        plan: gives the job as it would run, from what is deployed.
        environment, project: what the hosts are to have; None when they need not.
    """

    def __init__(
        self,
        settings: JobSettings,
        hosts: Sequence[HostSettings],
        access: Mapping[str, Access],
        plan: Callable[[Deployed], JobPlan],
        environment: Environment | None,
        project: Project | None,
    ) -> None:
        self._settings = settings
        self._hosts = {host.name: host for host in hosts}
        self._access = access
        self._plan_for = plan
        self._plan = plan(Deployed())
        self._environment = environment
        self._project = project
        self._report: Report = _silent
        self._agents: Agents | None = None
        self._children = Children()
        self._said: dict[str, str] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._root = settings.root
        self._tree = scan_project(project) if project else manifest.Tree([], {})
        self._digest = manifest.digest(self._tree.entries) if project else ""
        self._token = secrets.token_hex(16)
        table = self._plan.table
        self.surveys = {
            name: Survey(
                name,
                tuple(rank.rank for rank in table.of_host(name)),
                self._hosts[name].local,
                project=self._digest,
                links=links_of(name, table),
            )
            for name in table.hosts
        }

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._children.close()
        if self._agents:
            self._agents.close()

    def run(self, report: Report) -> None:
        """Fill in `surveys`.

        Args:
            report: told events: name, host, details.

        Raises:
            Cancelled: `stop` was called.
        """
        self._report = report
        settings = self._settings
        commands = {name: self._access[name].argv(self._access[name].agent) for name in self.surveys}
        with Agents(commands, settings.connect_timeout, settings.lease, self._on_progress, self._children) as self._agents:
            if self._children.closed:
                self._agents.close()
            self._facts = self._each("waiting for", self._hello)
            if self._facts:
                self._root = self._root or default_root(self._facts)
                if all(facts["script"] for facts in self._facts.values()):
                    self._project = None  # it is at the same path everywhere already, put there by whatever means
            self._each("reading the clock of", self._clock)
            self._find_environment()
            self._each("looking at", self._look)
            self._each("preparing connections between neighbours on", self._listen)
            self._each("trying connections between neighbours from", self._dial)
            self._each("waiting for", lambda agent: agent.call("hush"))

    def _each(self, doing: str, function: Callable[[Agent], Any]) -> dict[str, Any]:
        """Run a function for every host that can still be asked; note which can not."""
        agents = self._agents
        if agents is None:
            raise HostFailed("no agent was started")
        self._said.clear()
        word = Word(self._report, every=_WORD_EVERY)

        def on_wait(pending: Sequence[str]) -> None:
            word.say(f"{doing} {', '.join(pending)}", pending)

        results = agents.each(function, [name for name, survey in self.surveys.items() if not survey.failure], on_wait)
        for name, reason in agents.failed.items():
            self.surveys[name].failure = reason
        return results

    def _on_progress(self, host: str, text: str) -> None:
        self._said[host] = text

    # -- phases, each called in a thread per host

    def _hello(self, agent: Agent) -> dict[str, Any]:
        script = None
        if self._project and self._project.alone:
            script = {"path": os.path.abspath(self._settings.script), "sha256": self._tree.entries[0].content}
        found: dict[str, Any] = agent.call("hello", lease=self._settings.lease, root=self._root, environment=None, script=script)
        return found

    def _clock(self, agent: Agent) -> None:
        """Note how far a clock is off: by the quickest of a few answers, which leaves least doubt."""
        tries = []
        for _try in range(_CLOCK_TRIES):
            asked, before = time.time(), time.monotonic()
            there = agent.call("clock")
            took = time.monotonic() - before
            tries.append((took / 2, there - asked - took / 2))
        survey = self.surveys[agent.host]
        survey.uncertainty, survey.offset = min(tries)

    def _look(self, agent: Agent) -> None:
        plan, project = self._plan.specs[agent.host], self._project
        survey = self.surveys[agent.host]
        wanted = "" if survey.environment_failure or not self._environment else self._environment.key
        survey.found = agent.call(
            "survey",
            spec={
                "root": self._root,
                "environment": wanted,
                "project": {"name": project.name, "digest": self._digest} if project else None,
                "env": dict(self._hosts[agent.host].env),
                **{name: plan[name] for name in ("script", "cwd", "default_cwd", "addresses", "listen", "port_flag", "devices")},
                "python": self._python(agent.host),
                "mpirun": plan["mpi"]["candidates"] if "mpi" in plan else [],
            },
        )

    def _listen(self, agent: Agent) -> None:
        listen = self._plan.specs[agent.host]["listen"]
        survey = self.surveys[agent.host]
        if not survey.links or survey.found["addresses"]["problems"]:
            return  # it has no neighbours, or they could not reach it; the reason is told
        answers = agent.call("listen", python=self._working_python(agent.host), addresses=listen, token=self._token)
        for other in self.surveys.values():
            for link in other.links:
                link.tried = link.tried or (link.to == agent.host and answers.get(link.address, "") is None)

    def _dial(self, agent: Agent) -> None:
        survey = self.surveys[agent.host]
        links = [link for link in survey.links if link.tried]
        if not links:
            return
        # From an address that is not its own it cannot connect, and that is told already.
        foreign = bool(survey.found["addresses"]["problems"])
        targets = [[link.address, "" if foreign else link.source] for link in links]
        python = self._working_python(agent.host)
        answers = agent.call("dial", python=python, targets=targets, token=self._token, patience=_DIAL)
        for link, answer in zip(links, answers, strict=True):
            if answer:
                link.errno, link.problem = answer

    # -- Python and environment

    def _find_environment(self) -> None:
        """Learn which environment the hosts are to have, when they are to have one."""
        environment = self._environment
        if environment is None:
            return
        facts = {host: found for host, found in self._each("looking for Python on", self._ask_environment).items() if found}
        try:
            if not facts:
                return
            environment.agree(facts)
        except Differ as exc:
            for host, problem in exc.problems.items():
                self.surveys[host].environment_failure = problem
            facts = {host: found for host, found in facts.items() if host not in exc.problems}
            environment.agree(facts)
        except UsageError as exc:
            for host in facts:
                self.surveys[host].environment_failure = str(exc)
        if all(self.surveys[host].environment_failure for host in facts):
            return
        path = f"{self._root}/envs/{environment.key}"
        self._plan = self._plan_for(Deployed(root=self._root, environment=path))

    def _ask_environment(self, agent: Agent) -> dict[str, Any] | None:
        environment = self._environment
        if environment is None:
            return None
        wanted = environment.question(self._access[agent.host].python)
        try:
            found: dict[str, Any] = agent.call("hello", lease=self._settings.lease, root=self._root, environment=wanted)
        except HostFailed as exc:
            self.surveys[agent.host].environment_failure = str(exc)
            return None
        return found

    def _python(self, host: str) -> str:
        python: str = self._plan.specs[host]["python"] or "python3"
        return python

    def _working_python(self, host: str) -> str:
        """Return the ranks' Python where it runs; empty for the agent's own."""
        found = self.surveys[host].found["python"]
        return "" if found["problem"] else found["executable"]


def _silent(*_args: Any, **_details: Any) -> None:
    """Before there is anybody to tell."""

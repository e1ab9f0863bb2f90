# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: bring environment and project to all hosts, at one path, and prove that they are the same."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..module_utils import _manifest as manifest
from ..module_utils._envlock import MARKER
from ._agents import Agent, Agents, HostFailed
from ._children import Children
from ._environments import Differ, Environment, environment_from, most_frequent
from ._errors import UsageError
from ._hashes import scan_project
from ._plan import Deployed
from ._project import Project
from ._settings import JobSettings
from ._transfer import LITTLE, Way, contents, has_rsync, send_tar, send_tree
from ._word import Word

MAC_ROOT, ROOT = "/Users/Shared/mlxlaunch", "/opt/mlxlaunch"
ENVIRONMENT, PROJECT = "environment", "project"
PARTS = (ENVIRONMENT, PROJECT)

Report = Callable[..., None]  # event, host, details


@dataclass(frozen=True)
class Access:
    """How a host is reached.

    Attributes:
        argv: gives the local command line that runs a shell command on the host.
        agent: the shell command that starts the agent there.
        python: what its environment is to be made with, by path or version; empty for the best it has.
    """

    argv: Callable[[str], Sequence[str]]
    agent: str
    python: str = ""


@dataclass
class Outcome:
    """How a deploy ended.

    Attributes:
        deployed: what is on every host now, or would be in check mode.
        changed: by host, which parts were brought there.
        problems: by host, why it failed; empty when all is well.
        differences: by host, paths of files that were added, changed and removed.
    """

    deployed: Deployed = field(default_factory=Deployed)
    changed: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    differences: dict[str, dict[str, list[str]]] = field(default_factory=dict)


class Refused(Exception):
    """Hosts cannot be deployed to; `problems` says why, by host."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


class Deploy:
    """One deploy to all hosts.

    Args:
        settings: those of the job.
        project: what to bring, from `wanted_project`.
        hosts: how each is reached.
        check: change nothing, only tell what would change.
        differences: tell which files are different.
    """

    def __init__(
        self,
        settings: JobSettings,
        project: Project | None,
        hosts: Mapping[str, Access],
        *,
        check: bool = False,
        differences: bool = False,
    ) -> None:
        self._settings = settings
        self._project = project
        self._hosts = hosts
        self._report: Report = _silent
        self._check = check
        self._wants_differences = differences
        self._environment = environment_from(settings) if settings.environment else None
        self._agents: Agents | None = None
        self._children = Children()
        self._said: dict[str, str] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._tree = manifest.Tree([], {})
        self._entries = ""
        self._outcome = Outcome()
        self._deployed = self._outcome.deployed

    @property
    def lock_sha256(self) -> str:
        """Digest of what the environment is made from, or nothing."""
        return self._environment.question("")["lock"] if self._environment else ""

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._children.close()
        if self._agents:
            self._agents.close()

    def run(self, report: Report) -> Outcome:
        """Do it and return what is there now; `problems` in it tells of hosts that failed.

        Args:
            report: told events: name, host, details.

        Raises:
            UsageError: what is wrong here, on the controller.
            Cancelled: `stop` was called.
        """
        self._report = report
        settings = self._settings
        commands = {host: access.argv(access.agent) for host, access in self._hosts.items()}
        with (
            tempfile.TemporaryDirectory(prefix="mlxlaunch-") as folder,
            Agents(commands, settings.connect_timeout, settings.lease, self._on_progress, self._children) as self._agents,
        ):
            if self._children.closed:
                self._agents.close()
            self._folder = Path(folder)
            try:
                self._deploy()
            except (Refused, Differ) as exc:
                self._outcome.problems = {host: [exc.problems[host]] for host in self._hosts if host in exc.problems}
        return self._outcome

    def _deploy(self) -> None:
        if self._project and self._project.alone:
            self._scan()  # hosts are asked whether they have it
            self._facts = self._each("", self._hello)
        else:
            self._facts = self._each("", self._hello, meanwhile=self._scan)
        if not self._facts:
            return
        self._deployed.root = self._settings.root or default_root(self._facts)
        if self._project and all(facts["script"] for facts in self._facts.values()):
            # It is at the same path everywhere already, put there by whatever means, and has the same content.
            self._project = None
            self._deployed.project_digest = ""
            self._deployed.script = os.path.abspath(self._settings.script)
        if self._environment:
            self._environment.agree(self._facts)
            self._deployed.environment = f"{self._deployed.root}/envs/{self._environment.key}"
        if self._project:
            self._deployed.project = f"{self._deployed.root}/projects/{self._project.name}/{manifest.short(self._deployed.project_digest)}"
            self._deployed.script = os.path.normpath(f"{self._deployed.project}/{self._project.script}") if self._project.script else ""
        states = self._each("looking at", self._look)
        if self._environment:
            there = {host: state["environment_digest"] for host, state in states.items() if state[ENVIRONMENT] == "complete"}
            self._bring_environment(self._environment, there)
        if self._project:
            self._warn_of_edits({host: state["edited"] for host, state in states.items() if state["edited"]})
            self._bring_project(self._project, [host for host, state in states.items() if state[PROJECT] != "present"])
        if self._outcome.changed and not self._check:
            self._tidy_up()

    def _scan(self) -> None:
        """Read the project's files, those that are not known yet."""
        if self._project:
            self._tree = scan_project(self._project)
            self._deployed.project_digest = manifest.digest(self._tree.entries)

    # -- one phase on all hosts

    def _each(
        self,
        doing: str,
        function: Callable[[Agent], Any],
        hosts: Sequence[str] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Run a function for every host, or those; raise Refused unless it succeeds on all."""
        agents = self._agents
        if agents is None:
            return {}
        self._said.clear()
        word = Word(self._report)

        def on_wait(pending: Sequence[str]) -> None:
            if doing:
                word.say(f"{doing} {_phrase(pending, self._said)}", pending)
            else:
                word.say(f"waiting for {len(pending)} of {len(self._hosts)} hosts to be ready: {', '.join(pending)}", pending)

        results = agents.each(function, hosts, on_wait, meanwhile)
        if agents.failed:
            raise Refused(agents.failed)
        return results

    def _on_progress(self, host: str, text: str) -> None:
        self._said[host] = text

    def _hello(self, agent: Agent) -> dict[str, Any]:
        wanted = self._environment.question(self._hosts[agent.host].python) if self._environment else None
        script = None
        if self._project and self._project.alone:
            script = {"path": os.path.abspath(self._settings.script), "sha256": self._tree.entries[0].content}
        given = {"lease": self._settings.lease, "root": self._settings.root, "environment": wanted, "script": script}
        found: dict[str, Any] = agent.call("hello", **given)
        return found

    def _look(self, agent: Agent) -> dict[str, Any]:
        key = self._environment.key if self._environment else ""
        found: dict[str, Any] = agent.call("look", key=key, **self._where())
        return found

    def _tidy_up(self) -> None:
        """Remove what is old; that it cannot be removed is no reason not to go on with what has been brought."""
        for host, complaints in self._each("tidying up on", self._prune).items():
            for text in complaints:
                self._report("warning", host, text=text)

    def _prune(self, agent: Agent) -> list[str]:
        try:
            found: list[str] = agent.call(
                "prune",
                root=self._deployed.root,
                keep=self._settings.keep,
                key=self._environment.key if self._environment else "",
                name=self._project.name if self._project else "",
                digest=self._deployed.project_digest,
            )
        except HostFailed as exc:
            return [f"old versions could not be removed: {exc}"]
        return found

    # -- the environment

    def _bring_environment(self, environment: Environment, there: dict[str, str]) -> None:
        """Make it where it is not; `there` has its digests by host where it is."""
        hosts = [host for host in self._hosts if host not in there]
        if hosts and self._check:
            self._note(ENVIRONMENT, hosts)
            return
        if hosts:
            word = Word(self._report)
            environment.prepare(self._facts, self._children.run, lambda text: word.say(f"filling the wheelhouse: {text}"))
            with self._noting(ENVIRONMENT, hosts):
                there |= self._each("making the environment on", lambda agent: self._make_environment(agent, environment), hosts)
        self._prove_environment({host: there[host] for host in self._hosts})

    def _make_environment(self, agent: Agent, environment: Environment) -> Any:
        """Make it and return its digest."""
        where = {"root": self._deployed.root, "key": environment.key}
        details = {**where, **environment.details(self._facts[agent.host])}
        if environment.copies:
            target = agent.call("begin_copy", **where)
            if not target:
                return agent.call("environment_digest", **where)
            self._send_whole(agent, environment.source, target)
            return agent.call("finish_copy", **details)["digest"]
        wheels = ""
        if environment.wheels:
            wheels = agent.call("wheels_folder", root=self._deployed.root, name=environment.wheels.digest)
            self._send_whole(agent, environment.wheels.folder, wheels, sorted(environment.wheels.hashes))
        return agent.call("build", **details, wheels=wheels)["digest"]

    def _prove_environment(self, digests: Mapping[str, str]) -> None:
        if len(set(digests.values())) > 1:
            raise Refused(_minority(digests, f"its environment {self._deployed.environment} is not the one that the others have"))
        self._deployed.environment_digest = next(iter(digests.values()))

    # -- the project

    def _bring_project(self, project: Project, hosts: list[str]) -> None:
        if hosts:
            self._entries = manifest.pack(self._tree.entries)
            self._outcome.differences = self._each("comparing with", self._differences, hosts) if self._wants_differences else {}
        if hosts and not self._check:
            with self._noting(PROJECT, hosts):
                self._each("sending files to", lambda agent: self._send_project(agent, project), hosts)
        elif hosts:
            self._note(PROJECT, hosts)

    def _where(self) -> dict[str, str]:
        project = self._project
        return {"root": self._deployed.root, "name": project.name if project else "", "digest": self._deployed.project_digest}

    def _differences(self, agent: Agent) -> dict[str, list[str]]:
        found: dict[str, list[str]] = agent.call("project_differences", **self._where(), entries=self._entries)
        return found

    def _send_project(self, agent: Agent, project: Project) -> None:
        begun = agent.call("project_begin", **self._where(), entries=self._entries)
        if not begun["staging"]:
            return
        source, missing = Path(project.source), begun["missing"]
        if begun["bytes"] <= LITTLE:
            agent.call("project_commit", **self._where(), contents=contents(source, missing))
            return
        self._send(agent, source, begun["staging"], missing, project.exclude_file())
        agent.call("project_commit", **self._where())

    def _warn_of_edits(self, edits: Mapping[str, Sequence[str]]) -> None:
        """Say which files of what is there already somebody has edited; the store keeps them beside what it makes again."""
        for host, paths in edits.items():
            will = "would be" if self._check else "is"
            text = f"{self._deployed.project} was edited by hand ({_some(paths)}); it {will} made again, what was edited stays beside it"
            self._report("warning", host, text=text)

    # -- files

    def _send(self, agent: Agent, source: Path, target: str, missing: Sequence[str], excluded: bytes) -> None:
        way = self._way(agent)
        if way.rsync:
            send_tree(agent, way, source, target, excluded)
        else:
            send_tar(agent, way, source, target, missing)

    def _send_whole(self, agent: Agent, source: Path, target: str, only: Sequence[str] = ()) -> None:
        """Send a directory, or some of the files at its top."""
        paths = only or [str(path.relative_to(source)) for path in sorted(source.rglob("*")) if path != source / MARKER]
        excluded = b"".join(b"+ /%s\n" % os.fsencode(name) for name in only) + b"- /*\n" if only else b"- /%s\n" % MARKER.encode()
        self._send(agent, source, target, paths, excluded)

    def _way(self, agent: Agent) -> Way:
        return Way(self._hosts[agent.host].argv, self._folder, bool(self._facts[agent.host]["rsync"]) and has_rsync())

    @contextlib.contextmanager
    def _noting(self, what: str, hosts: Sequence[str]) -> Iterator[None]:
        """Note, whatever happens to the others, which hosts have got something."""
        try:
            yield
        except Refused as exc:
            self._note(what, [host for host in hosts if host not in exc.problems])
            raise
        self._note(what, hosts)

    def _note(self, what: str, hosts: Sequence[str]) -> None:
        path = getattr(self._deployed, what)
        for host in hosts:
            self._outcome.changed.setdefault(host, []).append(what)
            if not self._check:
                self._report("host_deployed", host, what=what, path=path)


def _silent(*_args: Any, **_details: Any) -> None:
    """Before there is anybody to tell."""


def default_root(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return where things are on the hosts when nobody says."""
    return MAC_ROOT if all(host["system"] == "Darwin" for host in facts.values()) else ROOT


def _phrase(hosts: Sequence[str], said: Mapping[str, str]) -> str:
    named = ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
    news = next((said[host] for host in hosts if said.get(host)), "")
    return f"{named}: {news}" if news else named


def _some(paths: Sequence[str]) -> str:
    return ", ".join(map(manifest.printable, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _minority(values: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the text for the hosts whose value is not the most frequent one."""
    usual = most_frequent(list(values.values()))
    return {host: text for host, value in values.items() if value != usual}


__all__ = ["PARTS", "Access", "Deploy", "HostFailed", "Outcome", "Refused", "UsageError", "default_root"]

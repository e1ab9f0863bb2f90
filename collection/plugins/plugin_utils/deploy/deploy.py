# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy environment and project to all hosts, at one path, and prove that they are the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..hosts.access import Access, chosen_root, possible_roots
from ..hosts.agents import Agent, HostFailed
from ..hosts.fleet import Fleet, HostsFailed
from ..hosts.progress import Emit
from ..job.deployed import Deployed
from ..job.programs import RSYNC, how_to_get
from ..job.settings import PRIVATE, JobSettings
from .environments import environment_from
from .outcome import Outcome
from .parts.environment import ENVIRONMENT, EnvironmentPart
from .parts.part import DeployRun, Facts, Ledger, Part, ReadAgain
from .parts.project import PROJECT, ProjectPart
from .project import Project
from .sender import Sender

PARTS = (ENVIRONMENT, PROJECT)
ACCESS = "access"  # as a change: who may read what is there
_NO_VERSION = {"key": "", "name": "", "digest": ""}


class Deploy:
    """One deploy to all hosts.

    Args:
        settings: those of the job.
        project: the files to deploy, from `wanted_project`.
        access: how each host is reached.
        check: change nothing, only note the changes that would be made.
        differences: note the files that differ.
        fleet: the hosts, by default those of `access`.
    """

    def __init__(
        self,
        settings: JobSettings,
        project: Project | None,
        access: Mapping[str, Access],
        *,
        check: bool = False,
        differences: bool = False,
        fleet: Fleet | None = None,
    ) -> None:
        self._settings = settings
        self._check = check
        self._differences = differences
        self._fleet = fleet or Fleet(access, settings)
        self._environment = environment_from(settings) if settings.environment else None
        self._parts: list[Part] = [EnvironmentPart(self._environment)] if self._environment else []
        self._parts += [ProjectPart(project, settings.script)] if project else []
        self._deployed = Deployed()
        self._open = contextlib.ExitStack()

    @property
    def lock_sha256(self) -> str:
        """Digest of the environment's source, or nothing."""
        return self._environment.digest if self._environment else ""

    def stop(self) -> None:
        """End it from another thread; `run` raises Cancelled."""
        self._fleet.stop()

    def run(self, emit: Emit) -> Outcome:
        """Deploy, and return the outcome; its `problems` name the hosts that failed.

        The hosts hold what was deployed until `release`, which has to follow however this ends.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            UsageError: something is wrong here, on the controller.
            Cancelled: `stop` was called.
        """
        ledger, problems = Ledger(), {}
        with tempfile.TemporaryDirectory(prefix="mlxlaunch-") as folder:
            self._open.enter_context(self._fleet.open(emit))
            try:
                self._deploy(emit, ledger, Path(folder))
            except HostsFailed as exc:
                problems = {host: [exc.problems[host]] for host in self._fleet.access if host in exc.problems}
        return Outcome(self._deployed, ledger.changed, problems, ledger.differences)

    def release(self) -> None:
        """Let go of the hosts: what was deployed is held by others by now, or needs no holding."""
        self._open.close()

    def _deploy(self, emit: Emit, ledger: Ledger, folder: Path) -> None:
        facts = self._handshake()
        if not facts:
            return
        sender = Sender(self._fleet.access, facts, folder)
        run = DeployRun(self._fleet, emit, ledger, facts, sender, self._check, self._differences)
        self._deployed = replace(self._deployed, root=chosen_root(self._settings, facts))
        for part in self._parts:
            self._deployed = part.resolve(facts, self._deployed)
        states = self._look(run)
        for part in self._parts:
            states = self._deploy_part(part, run, states)
        self._warn_of_rsync(run)
        self._share(run, states)
        if ledger.changed and not self._check:
            self._prune(run)

    def _look(self, run: DeployRun) -> Facts:
        return run.ask("looking at", lambda agent: agent.call("look", hold=not self._check, **self._what()))

    def _deploy_part(self, part: Part, run: DeployRun, states: Facts) -> Facts:
        """Deploy a part, and return the states of the hosts by which it was."""
        while True:
            try:
                self._deployed = part.deploy(run, states, self._deployed)
            except ReadAgain:
                self._deployed = part.resolve(run.facts, part.scan(self._deployed))
                states = self._look(run)
            else:
                return states

    def _handshake(self) -> Facts:
        """Return the facts of all hosts; the files here are read meanwhile, unless hosts are asked about them."""
        early = any(part.alone for part in self._parts)
        if early:
            self._scan()

        def waiting(pending: Sequence[str], _news: Mapping[str, str]) -> str:
            return f"waiting for {len(pending)} of {len(self._fleet.access)} hosts to be ready: {', '.join(pending)}"

        return self._fleet.ask(waiting, self._ask_for_facts, meanwhile=None if early else self._scan).all_or_raise()

    def _scan(self) -> None:
        for part in self._parts:
            self._deployed = part.scan(self._deployed)

    def _ask_for_facts(self, agent: Agent) -> dict[str, Any]:
        requests: dict[str, Any] = {"environment": None, "roots": possible_roots(self._settings), "trust_owner": self._settings.trust_owner}
        for part in self._parts:
            requests |= part.request(self._fleet.access[agent.host])
        found: dict[str, Any] = agent.call("hello", lease=self._settings.lease, **requests)
        return found

    def _identity(self) -> dict[str, str]:
        found = dict(_NO_VERSION)
        for part in self._parts:
            found |= part.identity()
        return found

    def _what(self) -> dict[str, str]:
        """Return arguments that name the versions, and who may read them."""
        return {"root": self._deployed.root, "share": self._settings.share, **self._identity()}

    def _share(self, run: DeployRun, states: Facts) -> None:
        """Let others read the versions, or nobody, where it is not so: what is made is closed at first."""
        new = run.ledger.changed if self._settings.share != PRIVATE else {}
        hosts = [host for host, state in states.items() if host in new or not state["shared"]]
        for host in hosts:
            if not states[host]["shared"]:
                run.ledger.changed.setdefault(host, []).append(ACCESS)
        if hosts and not self._check:
            run.ask("setting who may read on", lambda agent: agent.call("share", **self._what()), hosts)

    def _warn_of_rsync(self, run: DeployRun) -> None:
        whole = [host for host in self._fleet.access if host in run.sender.whole]
        if whole:
            where = ", ".join(whole)
            run.emit("warning", text=f"files went whole to {where}, as this machine has no rsync; {how_to_get(RSYNC)}")

    def _prune(self, run: DeployRun) -> None:
        """Remove old versions; a host that cannot remove them has the new ones nevertheless."""

        def prune(agent: Agent) -> list[str]:
            try:
                found: list[str] = agent.call("prune", root=self._deployed.root, keep=self._settings.keep, **self._identity())
            except HostFailed as exc:
                return [f"old versions could not be removed: {exc}"]
            return found

        for host, complaints in run.ask("tidying up on", prune).items():
            for text in complaints:
                run.emit("warning", host, text=text)

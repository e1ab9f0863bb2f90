# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project as a part of a deploy: the script, and the directory it belongs to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....module_utils.shared import manifest
from ...hosts.access import Access
from ...hosts.agents import Agent, HostFailed
from ...hosts.fleet import HostsFailed
from ...job.deployed import Deployed
from ..likely_secrets import likely_secrets
from ..project import LEAVE_OUT, Project
from ..scan import moved, scan_project
from ..transfer import LITTLE, contents
from .part import DeployRun, Facts, ReadAgain

PROJECT = "project"
_NAMED = 3  # files in a warning
_TURNS = 3  # times that a project is read again with a file that has changed only once
_MOST_TURNS = 20  # that it is read again at all


class ProjectPart:
    """One version of a project, at one path on all hosts.

    Args:
        project: its files.
        script: path of the script here.

    Attributes:
        digest: of its files, once they are scanned.
    """

    name = PROJECT

    def __init__(self, project: Project, script: str) -> None:
        self._project = project
        self._script = script
        self._tree = manifest.Tree([], {})
        self.digest = ""
        self._needed = True
        self._turns = 0
        self._changed: set[str] = set()  # paths that have changed once already
        self._restless: list[str] = []  # paths that stay here, and nobody has been told
        self._torn = False  # whether a file has gone while it was sent

    @property
    def alone(self) -> bool:
        return self._project.alone

    def scan(self, deployed: Deployed) -> Deployed:
        self._tree = scan_project(self._project)
        found = {entry.path for entry in self._tree.entries}
        absent = [path for path in self._project.paths if path not in found]
        # What is gone was not there; what is still there has changed each time it was read.
        self._restless += [path for path in absent if os.path.lexists(self._project.place(path))]
        self._project = self._project.only(found)
        self.digest = manifest.digest(self._tree.entries)
        return replace(deployed, project_digest=self.digest)

    def request(self, access: Access) -> dict[str, Any]:  # noqa: ARG002
        return {"script": self.script_request()} if self._project.alone else {}

    def script_request(self) -> dict[str, Any]:
        """Return the question whether a host has the script at its path here, and the modules that go with it."""
        source = self._project.source
        files = {f"{source}/{entry.path}": entry.content for entry in self._tree.entries if entry.kind == "file"}
        sha256 = files.pop(f"{source}/{self._project.script}")
        return {"path": os.path.abspath(self._script), "sha256": sha256, "beside": files}

    def resolve(self, facts: Facts, deployed: Deployed) -> Deployed:
        if all(known["script"] for known in facts.values()):
            # It is at the same path everywhere already, by other means than ours, and has the same content.
            self._needed = False
            return replace(deployed, project_digest="", script=os.path.abspath(self._script))
        path = f"{deployed.root}/projects/{self._project.name}/{manifest.short(self.digest)}"
        script = os.path.normpath(f"{path}/{self._project.script}") if self._project.script else ""
        return replace(deployed, project=path, script=script)

    def identity(self) -> dict[str, str]:
        return {"name": self._project.name, "digest": self.digest} if self._needed else {}

    def deploy(self, run: DeployRun, states: Facts, deployed: Deployed) -> Deployed:
        if not self._needed:
            return deployed
        self._warn_of_edits(run, deployed.project, {host: state["edited"] for host, state in states.items() if state["edited"]})
        self._warn_of_modules(run, deployed.project, {host: state["extra"] for host, state in states.items() if state["extra"]})
        hosts = [host for host, state in states.items() if state[PROJECT] != "present"]
        if not hosts:
            return deployed
        if secrets := likely_secrets((*self._project.paths, *self._project.followed.values())):
            will = "would be" if run.check else "will be"
            run.emit("warning", text=f"{will} copied to hosts: {_named(secrets)}; if that is secret, {LEAVE_OUT}")
        where = {"root": deployed.root, **self.identity()}
        if neighbours := self._project.neighbours:
            script = manifest.printable(self._project.script)
            run.emit("note", text=f"{script} goes with what it imports from beside it: {_named(neighbours)}")
        if followed := self._project.followed:
            # All of them: nothing from elsewhere goes to a host unseen.
            links = (f"{manifest.printable(path)} from {manifest.printable(place)}" for path, place in followed.items())
            run.emit("note", text=f"of links there, what they lead to goes: {', '.join(links)}")
        self._tell_what_stays(run)
        entries = manifest.pack(self._tree.entries)
        if run.wants_differences:
            found = run.ask("comparing with", lambda agent: agent.call("project_differences", **where, entries=entries), hosts)
            run.ledger.differences.update(found)
        if run.check:
            run.note(PROJECT, deployed.project, hosts)
        else:
            self._deploy(run, deployed.project, lambda agent: self._send(agent, run, where, entries), hosts)
        return deployed

    def _deploy(self, run: DeployRun, path: str, send: Callable[[Agent], None], hosts: Sequence[str]) -> None:
        self._check_steady(run)
        try:
            run.deploy(PROJECT, path, "sending files to", send, hosts)
        except HostsFailed:
            self._check_steady(run)
            raise

    def _check_steady(self, run: DeployRun) -> None:
        """Raise ReadAgain if files have changed since they were scanned.

        The next time they go as they are then. A file that is written to all the time, such as a log, stays here.
        """
        changed, torn, self._torn = moved(self._project, self._tree), self._torn, False
        if not (changed or torn) or self._turns == _MOST_TURNS:
            return
        self._turns += 1
        # In the end whatever moves is left out: so this comes to an end, also where another file changes each time.
        late = self._turns > _TURNS
        left_out = sorted(
            path for path, grows in changed.items() if (late or grows or path in self._changed) and not self._project.needs(path)
        )
        self._changed |= changed.keys()
        if left_out:
            self._restless += left_out
            self._tell_what_stays(run)
            self._project = self._project.only(set(self._project.paths) - set(left_out))
        raise ReadAgain

    def _tell_what_stays(self, run: DeployRun) -> None:
        if self._restless:
            run.emit("note", text=f"written to at this moment, so it stays here: {_named(self._restless)}")
            self._restless = []

    def _send(self, agent: Agent, run: DeployRun, where: Mapping[str, str], entries: str) -> None:
        begun = agent.call("project_begin", **where, entries=entries)
        if not begun["staging"]:
            return
        source, missing = Path(self._project.source), self._requested(begun["missing"])
        if sum(entry.size for entry in missing.values()) <= LITTLE:
            agent.call("project_commit", **where, contents=self._contents(source, list(missing)))
            return
        followed, excluded = self._project.followed, self._project.exclude_file()
        if not run.sender.send(agent, source, begun["staging"], list(missing), excluded, followed):
            self._torn = True
        agent.call("project_commit", **where)

    def _contents(self, source: Path, paths: Sequence[str]) -> dict[str, str]:
        try:
            return contents(source, paths, self._project.followed)
        except HostFailed:
            self._torn = True
            raise

    def _requested(self, paths: Sequence[str]) -> dict[str, manifest.Entry]:
        """Return the files that a host lacks; no list from a host names a file that is not the project's."""
        files = {entry.path: entry for entry in self._tree.entries if entry.kind == "file"}
        if strange := [path for path in paths if path not in files]:
            raise HostFailed(f"asks for files that are not part of the project: {_named(strange)}")
        return {path: files[path] for path in paths}

    @staticmethod
    def _warn_of_edits(run: DeployRun, path: str, edits: Mapping[str, Sequence[str]]) -> None:
        """Warn of files that somebody has edited on hosts; the store keeps them beside the new version."""
        for host, paths in edits.items():
            will = "would be" if run.check else "is"
            text = f"{path} was edited by hand ({_named(paths)}); it {will} made again, what was edited stays beside it"
            run.emit("warning", host, text=text)

    @staticmethod
    def _warn_of_modules(run: DeployRun, path: str, extra: Mapping[str, Sequence[str]]) -> None:
        """Warn of modules that an earlier job has left where this one imports from."""
        for host, paths in extra.items():
            text = f"{path} has Python files that are not part of the project: {_named(paths)}; an import may find them, remove them there"
            run.emit("warning", host, text=text)


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(manifest.printable, paths[:_NAMED])) + more

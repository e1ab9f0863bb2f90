# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job whose ranks mpirun connects: its command line, and its requests for daemons."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.addresses import is_ip
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import DAEMONS, PYTHONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import WireError

CHANNEL, SSH = "channel", "ssh"  # the ways on which mpirun starts its daemons
# The assignments that mpirun puts before its daemon, for a shell: NAME=VALUE, with earlier values in it.
_ASSIGNMENT = re.compile(r"(PATH|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|PRTE_PREFIX|PMIX_PREFIX|OPAL_PREFIX)=(.*)\Z")
_EARLIER = re.compile(r":?\$(\{[A-Z_]+:?-?\}|[A-Z_]+)")


class NotAHost(Exception):
    """A request of mpirun is for a host that is not of this job; the text is for a person."""


class NotADaemon(WireError):
    """A request is for anything else than mpirun's own daemon."""


@dataclass(frozen=True)
class MpiJob:
    """A job whose ranks mpirun connects.

    Attributes:
        job: its id.
        table: its ranks; those of a host follow each other.
        labels: mpirun's name for each host, by host.
        candidates: paths at which mpirun may be, best first.
        args: further arguments for it.
        python: that of the ranks, or empty.
        agent: CHANNEL or SSH.
        shim: source of the program that mpirun starts in place of a rank.
    """

    job: str
    table: RankTable
    labels: Mapping[str, str]
    candidates: Sequence[str]
    args: Sequence[str] = ()
    python: str = ""
    agent: str = CHANNEL
    shim: str = ""

    def decide(self, facts: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Return the mpirun to use, as the go of each host, or the reasons against each, by host."""
        problems = self._same_names(facts)
        if problems:
            return Decision(problems)
        everywhere = [path for path in self.candidates if all(path in facts[host]["mpirun"] for host in self.table.hosts)]
        if not everywhere:
            return Decision(self._not_everywhere(facts))
        tries = [self._with(path, facts) for path in everywhere]
        return next((decision for decision in tries if not decision.problems), tries[0])

    def _with(self, path: str, facts: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Return the decision for the mpirun at a path at which every host has one."""
        head = self.head
        found = {host: facts[host]["mpirun"][path] for host in self.table.hosts}
        if problems := _unusable(path, found, head):
            return Decision(problems)
        go: dict[str, Any] = {host: {"libmpi": found[host]["libmpi"]} for host in self.table.hosts}
        go[head]["mpirun"] = self.command(path, found[head]["version"], root=facts[head]["uid"] == 0)
        return Decision(go=go)

    def command(self, mpirun: str, version: str, *, root: bool) -> list[str]:
        """Return mpirun's command line.

        Args:
            mpirun: its path.
            version: of Open MPI; the fourth and the fifth series differ in the names of options.
            root: whether it runs as root.
        """
        five = int(version.partition(".")[0]) >= 5
        words = [mpirun, *(["--allow-run-as-root"] if root else [])]
        if self.agent == CHANNEL:
            mca, name = ("--prtemca", "plm_ssh") if five else ("--mca", "plm_rsh")
            # Not as a tree: every daemon is requested on this host.
            # By this, and not by what the host's variables or an allocation around it would choose.
            words += [mca, "plm", name.removeprefix("plm_")]
            words += [mca, f"{name}_agent", "{agent}", mca, f"{name}_no_tree_spawn", "1"]
        # As ranks of the other backends: in the order of the table, on any processor.
        words += [] if _has(self.args, "--map-by", "--rank-by", "--rankfile", "-rf") else ["--map-by", "slot"]
        words += [] if _has(self.args, "--bind-to") else ["--bind-to", "none"]
        slots = ",".join(f"{self.labels[host]}:{len(self.table.of_host(host))}" for host in self.table.hosts)
        words += ["--host", slots, "-np", str(self.table.world_size), "--wdir", "/", *self.args]
        return [*words, *self._program()]

    def _program(self) -> list[str]:
        pythons = [*([self.python] if self.python.startswith("/") else []), *PYTHONS]
        tries = " ".join(shlex.quote(python) for python in dict.fromkeys(pythons))
        script = f'for python in {tries}; do command -v "$python" >/dev/null 2>&1 && exec "$python" -I -S -c "$0" "$@"; done; exit 127'
        return ["/bin/sh", "-c", script, self.shim, "rank", self.job]

    def _same_names(self, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
        """Return the problems of hosts that share a name: Open MPI goes by it, 5.0 without the domain."""
        hosts: dict[str, list[str]] = {}
        for host in self.table.hosts:
            name = facts[host]["hostname"]
            hosts.setdefault(name if is_ip(name) else name.partition(".")[0], []).append(host)
        advice = "give each its own (on a Mac: scutil --set HostName NAME), or one entry with mlx_slots to a machine that is in twice"
        return {
            host: [f"calls itself {name}, as {_others(same, host)} does, and Open MPI tells machines apart by that name: {advice}"]
            for name, same in hosts.items()
            if len(same) > 1
            for host in same
        }

    def _not_everywhere(self, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
        found = {host: list(facts[host]["mpirun"]) for host in self.table.hosts}
        looked = f"mpirun is not there (looked for {', '.join(self.candidates)})"
        advice = "put openmpi into the environment's lock, install Open MPI, or set mlx_mpirun"
        without = {host: [f"{looked}: {advice}"] for host, paths in found.items() if not paths}
        one_path = "it has to be at one path on all hosts"
        return without or {host: [f"mpirun is at {', '.join(paths)} here; {one_path}"] for host, paths in found.items()}

    def daemon(self, host: str, words: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Return (host, message for its supervisor) for a request of mpirun.

        Args:
            host: mpirun's name for it.
            words: the command, for a shell that joins them.
            facts: of all hosts, from which the mpirun was chosen.

        Raises:
            NotAHost: the host is not of this job.
            NotADaemon: the command is no daemon beside the mpirun that was chosen.
        """
        wanted = next((name for name, label in self.labels.items() if label == host), "")
        if not wanted:
            raise NotAHost(f"mpirun wants a daemon on {host}, which is no host of this job; --mpi-arg may not name hosts")
        try:
            *before, command = split_commands(" ".join(words))
        except ValueError:
            before, command = [], []
        if command[-1:] == [")"]:
            command = command[:-1]  # of "( . ./.profile; ... )", which it wants for users whose shell is /bin/sh
        folders = self._folders(wanted, facts)
        if not any(command[:1] == [posixpath.join(folder, name)] for folder in folders for name in DAEMONS):
            raise NotADaemon(f"{self.head}: mpirun wants {' '.join(command[:1])!r} run on {wanted}, which is not its daemon")
        # It stays a child of the supervisor, which so sees its end.
        env = _assignments(before, [posixpath.dirname(folder) for folder in folders])
        return wanted, {"argv": [word for word in command if word != "--daemonize"], "env": env}

    @property
    def head(self) -> str:
        """The host on which mpirun runs."""
        return self.table.hosts[0]

    def _folders(self, host: str, facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Return the directories where a host has the daemons of the mpirun that was chosen."""
        mpirun = self.decide(facts).go[self.head]["mpirun"][0]
        return [posixpath.dirname(mpirun), *facts[host]["mpirun"][mpirun].get("folders", ())]


def split_commands(text: str) -> list[list[str]]:
    """Return the words of each command of a line like `A=b; export A; /bin/prted "x;y"`; nothing is expanded."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) == {";"}:
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def _assignments(commands: Iterable[Sequence[str]], prefixes: Sequence[str]) -> dict[str, str]:
    """Return the variables that mpirun sets for its daemon, without the values that a host has for them already.

    Only paths below its own prefix stay: a library from elsewhere would be as good as a program.
    """
    found = {}
    for command in commands:
        # The latter in csh, perhaps after a condition.
        text = command[0] if len(command) == 1 else "=".join(command[-2:]) if command[-3:-2] == ["setenv"] else ""
        match = _ASSIGNMENT.match(text)
        if match:
            paths = _EARLIER.sub("", match[2]).split(":")
            found[match[1]] = ":".join(path for path in paths if any(_is_below(path, prefix) for prefix in prefixes))
    # The daemon is called by its path, and needs to find nothing else.
    found.pop("PATH", None)
    return {name: value for name, value in found.items() if value}


def _is_below(path: str, prefix: str) -> bool:
    return posixpath.normpath(path) == path and prefix != "/" and (path == prefix or path.startswith(f"{prefix}/"))


def _unusable(path: str, found: Mapping[str, Mapping[str, str]], head: str) -> dict[str, list[str]]:
    problems = {host: [known["error"]] for host, known in found.items() if "error" in known}
    if problems:
        return problems
    wanted = found[head]["version"]
    if not wanted.startswith(("4.", "5.")):
        return {head: [f"{path} is Open MPI {wanted}; 4.1 and 5.0 are known to work"]}
    return {
        host: [f"{path} is Open MPI {known['version']} here and {wanted} on {head}, where it would run; it has to be the same"]
        for host, known in found.items()
        if known["version"] != wanted
    }


def _others(hosts: Sequence[str], host: str) -> str:
    return ", ".join(other for other in hosts if other != host)


def _has(words: Sequence[str], *options: str) -> bool:
    return any(word.lstrip("-") == option.lstrip("-") for word in words for option in options if word.startswith("-"))

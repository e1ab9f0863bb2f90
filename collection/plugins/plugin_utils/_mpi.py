# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: how mpirun is called, and what it wants done on other hosts. Pure.

mpirun runs on the host of rank 0. What it takes for ssh is a stand-in (module_utils/_stand_in.py) that hands HOST COMMAND
back through the channel, so no host needs to reach another by ssh; and what it takes for the program is a stand-in for a
rank, which the host's supervisor starts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ._errors import UsageError
from ._hostfile import is_ip
from ._policy import Settled
from ._program import PYTHONS
from ._ranktable import Rank, RankTable

CHANNEL, SSH = "channel", "ssh"  # by which mpirun starts its daemons
_WHERE = ("/opt/homebrew/bin/mpirun", "/usr/local/bin/mpirun", "/usr/bin/mpirun")
_DAEMONS = ("prted", "orted")
# What mpirun puts before its daemon, for a shell: NAME=VALUE, with earlier values in it.
_ASSIGNMENT = re.compile(r"(PATH|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|PRTE_PREFIX|PMIX_PREFIX|OPAL_PREFIX)=(.*)\Z")
_EARLIER = re.compile(r":?\$(\{[A-Z_]+:?-?\}|[A-Z_]+)")


def candidates(mpirun: str, python: str) -> list[str]:
    """Return where mpirun may be, best first: where it is said to be, else beside the ranks' Python, else where others put it."""
    if mpirun:
        return [mpirun]
    beside = [str(PurePosixPath(python).with_name("mpirun"))] if python.startswith("/") else []
    return list(dict.fromkeys([*beside, *_WHERE]))


@cache
def stand_in() -> str:
    """Return the source of what mpirun starts in place of ssh and of ranks."""
    source = (Path(__file__).parent.parent / "module_utils/_stand_in.py").read_text(encoding="utf-8")
    return source + "\n\nmain()\n"


def labels(table: RankTable, addresses: Mapping[str, str], agent: str) -> dict[str, str]:
    """Return {host: what mpirun calls it}, which need not be a name that resolves.

    Args:
        table: the ranks.
        addresses: what each host is reached by.
        agent: with SSH, mpirun connects to that.
    """
    first, *others = table.hosts
    if agent == SSH:
        return {first: "localhost"} | {host: addresses[host] for host in others}
    return {first: "localhost"} | {host: _label(table.of_host(host)[0], addresses[host].rpartition("@")[2]) for host in others}


def _label(rank: Rank, address: str) -> str:
    """Return what mpirun calls the host of a rank.

    A name may be that of another host, for mpirun or for the host itself, and of a name with a domain mpirun sees the first
    part. So where there is no address it is a name that nobody else has.
    """
    if rank.ips:
        return rank.ips[0]
    if is_ip(address) and ":" not in address and not address.startswith("127."):
        return address
    return f"{re.sub('[^A-Za-z0-9]+', '-', rank.host).strip('-')}-rank{rank.rank}".lstrip("-")


@dataclass(frozen=True)
class MpiJob:
    """A job that mpirun wires up.

    Attributes:
        job: its id.
        table: its ranks; those of a host follow each other.
        labels: what mpirun calls each host.
        candidates: where mpirun may be.
        args: further arguments for it.
        python: that of the ranks, or empty.
        agent: CHANNEL or SSH.
    """

    job: str
    table: RankTable
    labels: Mapping[str, str]
    candidates: Sequence[str]
    args: Sequence[str] = ()
    python: str = ""
    agent: str = CHANNEL

    def settle(self, facts: Mapping[str, Mapping[str, Any]]) -> Settled:
        """Return which mpirun is used, as the go of each host; or why none can be, by host."""
        problems = self._same_names(facts)
        if problems:
            return Settled(problems)
        everywhere = [path for path in self.candidates if all(path in facts[host]["mpirun"] for host in self.table.hosts)]
        if not everywhere:
            return Settled(self._not_everywhere(facts))
        tries = [self._with(path, facts) for path in everywhere]
        return next((settled for settled in tries if not settled.problems), tries[0])

    def _with(self, path: str, facts: Mapping[str, Mapping[str, Any]]) -> Settled:
        """Return what an mpirun that every host has means for each."""
        head = self.table.hosts[0]
        found = {host: facts[host]["mpirun"][path] for host in self.table.hosts}
        if problems := _unusable(path, found, head):
            return Settled(problems)
        go: dict[str, Any] = {host: {"libmpi": found[host]["libmpi"]} for host in self.table.hosts}
        go[head]["mpirun"] = self.command(path, found[head]["version"], root=facts[head]["uid"] == 0)
        return Settled(go=go)

    def command(self, mpirun: str, version: str, *, root: bool) -> list[str]:
        """Return mpirun's command line.

        Args:
            mpirun: its path.
            version: of Open MPI; the fourth and the fifth series call things differently.
            root: whether the user it runs as is.
        """
        five = int(version.partition(".")[0]) >= 5
        words = [mpirun, *(["--allow-run-as-root"] if root else [])]
        if self.agent == CHANNEL:
            mca, name = ("--prtemca", "plm_ssh") if five else ("--mca", "plm_rsh")
            # Not as a tree: every daemon is asked for on this host.
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
        return ["/bin/sh", "-c", script, stand_in(), "rank", self.job]

    def _same_names(self, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
        """Open MPI tells machines apart by the names they have for themselves, 5.0 by what is before the domain."""
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

    def daemon(self, host: str, words: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return (host, what its supervisor has to start) for a wish of mpirun.

        Args:
            host: as mpirun calls it.
            words: the command, for a shell that joins them.

        Raises:
            UsageError: it is no host of this job, or no daemon of mpirun's.
        """
        wanted = next((name for name, label in self.labels.items() if label == host), "")
        if not wanted:
            raise UsageError(f"mpirun wants a daemon on {host}, which is no host of this job; --mpi-arg may not name hosts")
        try:
            *before, command = split_commands(" ".join(words))
        except ValueError:
            before, command = [], []
        if command[-1:] == [")"]:
            command = command[:-1]  # of "( . ./.profile; ... )", which it wants for users whose shell is /bin/sh
        if not command or PurePosixPath(command[0]).name not in _DAEMONS or not command[0].startswith("/"):
            raise UsageError(f"mpirun wants {' '.join(command[:1])!r} run on {wanted}, which is not its daemon")
        # It stays a child of the supervisor, which so sees its end.
        return wanted, {"argv": [word for word in command if word != "--daemonize"], "env": _assignments(before)}


def split_commands(text: str) -> list[list[str]]:
    """Return the words of each command of a line for a shell, such as `A=b; export A; /bin/prted "x;y"`; nothing is expanded."""
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


def _assignments(commands: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return the variables mpirun sets for its daemon, those it names itself; what a host has there already is left out."""
    found = {}
    for command in commands:
        # The latter in csh, perhaps after a condition.
        text = command[0] if len(command) == 1 else "=".join(command[-2:]) if command[-3:-2] == ["setenv"] else ""
        match = _ASSIGNMENT.match(text)
        if match:
            found[match[1]] = _EARLIER.sub("", match[2])
    # The daemon is called by its path, and needs to find nothing else.
    found.pop("PATH", None)
    return {name: value for name, value in found.items() if value}


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

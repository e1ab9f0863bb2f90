"""Hosts as the tests of a first contact have them: ssh that answers as a host in some state would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.commands import INSTALL_KEY, KEY_ADDED, LOOK_FOR_TOOLS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.target import Programs, Target
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.tools import INSTALL, LIST
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Way
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import STARTED
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Subprocesses

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID81UPHG0vimB2n3+NWN3bCQ5EqixMvpfFCq8VQPtfeR"
FACTS = {
    "system": "Darwin",
    "release": "26.2",
    "machine": "arm64",
    "python": "3.9.6",
    "executable": "/usr/bin/python3",
    "ranks_python": True,
}
ASKS = ("env", "SSH_ASKPASS=x")
LISTED = "* Label: Command Line Tools for Xcode-26.2\n"


class FakeSsh(Programs):
    """The programs that a first contact runs, with one host (and, by its name, the jump host before it) at the other end.

    Attributes:
        known_hosts, identity: files of the person's ssh.
        known, other_key: whether ssh knows the host's key, or another one in its place.
        takes_key: whether the host takes our key already.
        methods: as its sshd names them.
        password: whether the given one is right.
        python, tools, offered: whether it has a Python, the command line tools, and which it could install.
        jump_known: the same for a jump host.
        said: command lines of all programs.
    """

    def __init__(self, folder: Path, config: str = "") -> None:
        super().__init__(Subprocesses(), 30.0)
        self.known_hosts, self.identity = folder / "known_hosts", folder / "id_ed25519"
        self.config = f"user me\nhostname 10.0.0.1\nport 22\nidentityfile {self.identity}\nuserknownhostsfile {self.known_hosts}\n{config}"
        self.known, self.other_key, self.takes_key, self.password, self.python, self.tools = False, False, True, True, True, True
        self.methods, self.offered, self.sudo = "publickey,password", LISTED, True
        self.sshd_takes_it = True
        self.said: list[list[str]] = []

    def run(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
        self.said.append(list(argv))
        if argv[1:2] == ["-G"]:
            return 0, self.config
        if argv[0] in ("ssh-keygen", "ssh-add"):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr
        return self.run_ssh(argv, data, seconds)

    def run_ssh(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:  # noqa: ARG002
        self.said.append(list(argv))
        command, words = argv[-1], " ".join(argv)
        if command in (LIST, INSTALL):
            return self._update(command, data)
        if "StrictHostKeyChecking=accept-new" in words:
            path = words.partition('UserKnownHostsFile="')[2].partition('"')[0]
            Path(path).write_text(f"10.0.0.1 {KEY}\n")
            return 255, "me@10.0.0.1: Permission denied (publickey,password).\n"
        if self.other_key:
            return (
                255,
                f"REMOTE HOST IDENTIFICATION HAS CHANGED\nOffending ED25519 key in {self.known_hosts}:3\nHost key verification failed.\n",
            )
        if not self.known and not (self.known_hosts.exists() and KEY in self.known_hosts.read_text()):
            return 255, "Host key verification failed.\n"
        if command == INSTALL_KEY:
            return self._install(argv, data)
        if not self.takes_key:
            return 255, f"me@10.0.0.1: Permission denied ({self.methods}).\n"
        return self._command(command)

    def _install(self, argv: Sequence[str], data: bytes) -> tuple[int, str]:
        assert argv[: len(ASKS)] == list(ASKS)
        assert data.startswith(b"ssh-ed25519 ")
        if not self.password:
            return 255, f"me@10.0.0.1: Permission denied ({self.methods}).\n"
        self.takes_key = self.sshd_takes_it
        return 0, f"{KEY_ADDED}\n"

    def _command(self, command: str) -> tuple[int, str]:
        if command == LOOK_FOR_TOOLS:
            system = "Darwin" if self.offered is not None else "Linux"
            return 0, f"mlxlaunch: system {system}\nmlxlaunch: tools {'there' if self.tools else 'missing'}\n"
        if not self.python:
            return 127, f"{STARTED}\nno Python 3 was found\n"
        return 0, f"{STARTED}\nmlxlaunch: facts {json.dumps(FACTS)}\n"

    def _update(self, command: str, data: bytes) -> tuple[int, str]:
        if not self.sudo:
            return 1, "sudo: a password is required\n"
        if command == LIST:
            return 0, self.offered
        assert data == b"Command Line Tools for Xcode-26.2\n"
        self.tools = self.python = self.offered == LISTED
        return 0, "Installed\n"


def target(*, password: bool = False, given: Sequence[str] = (), name: str = "mac-1") -> Target:
    """Return a host that runs ranks."""
    words = ("ssh", "-o", "BatchMode=yes", "--", name)
    return Target(
        name, Way(words), Way(words, ASKS) if password else None, tuple(given), "hello", b"program", lambda command: ["sudo", command]
    )

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh would do for a host, as `ssh -G` tells it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_JUMP = re.compile(r"(?:ssh://)?(?P<user>[^@\s]+@)?(?P<host>\[[^\]]+\]|[^:\s]+)(?::(?P<port>\d+))?/?")
_NONE = ("none", "/dev/null")
_SSH_PORT = "22"


@dataclass(frozen=True)
class SshConfig:
    """The settings of ssh that count for a host, by their names in lower case; each may have several values."""

    values: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the settings in the output of `ssh -G`."""
        values: dict[str, list[str]] = {}
        for line in text.splitlines():
            name, _space, value = line.strip().partition(" ")
            values.setdefault(name.lower(), []).append(value.strip())
        return cls(values)

    def first(self, name: str) -> str:
        """Return the first value of a setting, "" without one."""
        return next(iter(self.values.get(name, ())), "")

    def is_on(self, name: str) -> bool:
        """Return whether a setting says yes; `ssh -G` writes that in two ways."""
        return self.first(name).lower() in ("yes", "true")

    @property
    def user(self) -> str:
        """The one who logs in."""
        return self.first("user")

    @property
    def known_as(self) -> str:
        """The name under which ssh looks for the host's key."""
        host, port = self.first("hostkeyalias") or self.first("hostname"), self.first("port")
        plain = self.first("hostkeyalias") or port in ("", _SSH_PORT)
        return host if plain else f"[{host}]:{port}"

    @property
    def accepts_new(self) -> bool:
        """Whether the user lets ssh accept the keys of new hosts; that ssh checks none is no such choice."""
        return self.first("stricthostkeychecking") == "accept-new"

    @property
    def identities(self) -> list[str]:
        """The files with private keys, in the order of ssh."""
        return [value for value in self.values.get("identityfile", ()) if value != "none"]

    @property
    def jumps(self) -> list[list[str]]:
        """The words that reach each host on the way there, by ProxyJump: options, and who and where."""
        text = self.first("proxyjump")
        found = [_JUMP.fullmatch(jump) for jump in text.split(",")] if text and text != "none" else []
        return [_words(jump) for jump in found if jump]

    def known_hosts(self, exists: Callable[[str], bool]) -> str:
        """Return the file to which ssh adds the keys of new hosts, "" when it is to have none.

        `ssh -G` separates files by spaces, and a name may have spaces as well: then it is the file that exists.

        Args:
            exists: tells whether there is a file or directory of a name.
        """
        words = self.first("userknownhostsfile").split(" ")
        names = [" ".join(words[: count + 1]) for count in reversed(range(len(words)))]
        there = [name for name in names if exists(name)] or [name for name in names if exists(str(Path(name).parent))]
        found = there[0] if there else words[0]
        return "" if found in _NONE else found


def _words(jump: re.Match[str]) -> list[str]:
    port = ["-p", jump["port"]] if jump["port"] else []
    return [*port, "--", f"{jump['user'] or ''}{jump['host'].strip('[]')}"]


def words_to_jump(words: Sequence[str], jump: Sequence[str]) -> tuple[str, ...]:
    """Return the command line by which ssh itself would reach a jump host, but for a command.

    ssh hands the configuration file on, and nothing else of its command line: see ProxyJump in ssh_config(5).

    Args:
        words: the command line for the host behind it.
        jump: one of `jumps`.
    """
    return (words[0], *_file(words), "-o", "LogLevel=ERROR", "-T", *jump)


def _file(words: Sequence[str]) -> list[str]:
    for at, word in enumerate(words):
        if word in ("-F", "--"):
            return [] if word == "--" else list(words[at : at + 2])
        if word.startswith("-F"):
            return [word]
    return []

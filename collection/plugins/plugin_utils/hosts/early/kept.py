# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that have reached the hosts of a request, kept for the next run of the same request.

By them the launching program reaches the hosts while Ansible starts. They are a guess: a worker takes a connection only
if its own command line for that host is the same, word for word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..programs.user_cache import cache_file, keep, read_own

#: Programs that hosts are sent, by their names in `bootstrap`.
SUPERVISOR, AGENT = "supervisor", "agent"

# What is kept has no room for a secret: of ssh's options those that say where, who and how long; no command of the
# user's, no variable, and nothing for sudo, whose command has another mark each time.
_OPTIONS = re.compile(
    r"(AddKeysToAgent|AddressFamily|BatchMode|CheckHostIP|Ciphers|Compression|ConnectTimeout|ConnectionAttempts|Control(Master|Path|Persist)"
    r"|ForwardAgent|GSSAPI\w+|GlobalKnownHostsFile|HashKnownHosts|HostKeyAlgorithms|HostKeyAlias|HostName|IPQoS|Identit(iesOnly|yAgent|yFile)"
    r"|KbdInteractiveAuthentication|KexAlgorithms|LogLevel|MACs|NumberOfPasswordPrompts|PasswordAuthentication|Port|PreferredAuthentications"
    r"|ProxyJump|PubkeyAuthentication|RemoteCommand=none|ServerAlive(CountMax|Interval)|StrictHostKeyChecking|TCPKeepAlive|UpdateHostKeys"
    r"|User|UserKnownHostsFile)(=|$)"
)
_FLAGS = {"-4", "-6", "-C", "-T", "-A", "-a", "-x"}
_WITH_VALUE = {"-F", "-i", "-J", "-l", "-p"}
_OURS = "exec /bin/sh -c "


@dataclass(frozen=True)
class Place:
    """The place of a request's command lines.

    Attributes:
        owner: what they are kept for; there is one such file for each.
        key: digest of all that they depend on.
    """

    owner: str
    key: str

    @property
    def path(self) -> Path:
        """The file."""
        return cache_file("early", self.owner, ".json")


@dataclass(frozen=True)
class Commands:
    """Command lines that have reached hosts.

    Attributes:
        program: SUPERVISOR or AGENT: what is sent to each host.
        argvs: a local command line for each host.
    """

    program: str = SUPERVISOR
    argvs: tuple[tuple[str, ...], ...] = ()


def kept_commands(place: Place) -> Commands:
    """Return what is kept for a request; no command lines if there is nothing, or if it was another request's."""
    try:
        found = json.loads(read_own(place.path))
        argvs = tuple(map(tuple, found["argvs"]))
        known = found["key"] == place.key and found["program"] in (SUPERVISOR, AGENT)
        return Commands(found["program"], argvs) if known and all(map(is_plain, argvs)) else Commands()
    except (ValueError, KeyError, TypeError, RecursionError):
        return Commands()


def keep_commands(place: Place, program: str, argvs: Iterable[Sequence[str]]) -> None:
    """Keep command lines for the next run, but for those that could hold a secret, or could not be the same then."""
    plain = [list(argv) for argv in argvs if is_plain(argv)]
    data = json.dumps({"key": place.key, "program": program, "argvs": plain}).encode()
    if data != read_own(place.path):
        keep(place.path, data)


def is_plain(argv: Sequence[str]) -> bool:
    """Return whether a command line is that of ssh, asks nobody, and has only options that hold no secret."""
    if not all(isinstance(word, str) for word in argv) or Path(next(iter(argv), "")).name != "ssh" or "BatchMode=yes" not in argv:
        return False
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            rest = list(words)
            return len(rest) == 2 and rest[1].startswith(_OURS)  # a host, and our own command for it
        if word == "-o":
            if not _OPTIONS.match(next(words, "")):
                return False
        elif word in _WITH_VALUE:
            next(words, "")
        elif word not in _FLAGS:
            return False
    return False

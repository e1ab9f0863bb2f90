# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access to a host for a deploy or a check, and the directory used there by default."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..job.errors import UsageError
from ..job.settings import BY_NAME, JobSettings
from ..job.user_name import check_user_name

ROOT = "/opt/mlxlaunch"  # of root; every other user has one of his own
_MAC_ROOT = "/Users/Shared/mlxlaunch"
_OR_ROOT = "set mlx_root (--root) to a directory for all hosts"


@dataclass(frozen=True)
class Way:
    """The command line of ssh to a host, but for the command.

    Attributes:
        words: ssh, its options, and the host as the last word.
        before: words that give ssh a password when it asks for one; none without a password.
    """

    words: tuple[str, ...]
    before: tuple[str, ...] = ()

    def argv(self, command: str, options: Sequence[str] = ()) -> list[str]:
        """Return the local command line that runs a command of the host's login shell.

        Args:
            command: the command.
            options: further ones for ssh; they come first, and ssh takes the first value of an option.
        """
        return [*self.before, self.words[0], *options, *self.words[1:], command]


@dataclass(frozen=True)
class Access:
    """How a host is reached.

    Attributes:
        argv: gives the local command line that runs a shell command on the host.
        agent: the shell command that starts the agent there.
        python: the base interpreter of its environment, by path or version; empty for the best one there.
    """

    argv: Callable[[str], Sequence[str]]
    agent: str
    python: str = ""


def possible_roots(settings: JobSettings) -> list[str]:
    """Return the directories that may be the one for all that is deployed: which it is depends on the hosts."""
    if settings.root:
        return [settings.root]
    with suppress(UsageError):  # root's needs no name; where another is needed, `chosen_root` says it
        return [ROOT, *own_roots()]
    return [ROOT]


def chosen_root(settings: JobSettings, facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the directory for all that is deployed: the one that is set, or else the one that suits all hosts."""
    if settings.root:
        return _at_home(settings.root, facts) if settings.root.startswith("~") else settings.root
    if all(host["root_user"] for host in facts.values()):
        return ROOT
    mac_root, other_root = own_roots()
    return mac_root if all(host["system"] == "Darwin" for host in facts.values()) else other_root


def _at_home(root: str, facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a directory below the home that the user has on all hosts."""
    found = {facts[host]["home"].rstrip("/") + root[1:]: host for host in facts}
    if len(found) > 1:
        where = " and ".join(f"{path} on {host}" for path, host in list(found.items())[:2])
        raise UsageError(
            f"{BY_NAME['root'].shown} {root}: it is {where}, and has to be one path on all hosts; set mlx_root (--root) to such a directory"
        )
    return next(iter(found), root)


def own_roots() -> tuple[str, str]:
    """Return the directories of the launching user, if all hosts are Macs and otherwise.

    His name is that on this machine, so that the path is the same on every host, whatever he is called there.
    """
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise UsageError(f"user {os.geteuid()} has no name on this machine after which a directory could be called; {_OR_ROOT}") from None
    check_user_name(name, f"no directory can be called after you, {_OR_ROOT}")
    return f"{_MAC_ROOT}-{name}", f"{ROOT}-{name}"

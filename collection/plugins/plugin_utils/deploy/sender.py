# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How files of this machine reach a host during a deploy."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...module_utils.shared.names import MARKER
from ..hosts.access import Access
from ..hosts.agents import Agent
from ..job.programs import RSYNC, is_here
from .transfer import NOWHERE, Way, send_tar, send_tree


class Sender:
    """Sends files to hosts, by rsync where both sides have it, else by tar.

    Args:
        access: how each host is reached.
        facts: of each host, as its handshake returned them.
        folder: private directory here for the scripts that rsync calls.
        program: returns whether this machine has a program.

    Attributes:
        whole: hosts that have rsync, to which files went whole, since this machine has none.
    """

    def __init__(
        self,
        access: Mapping[str, Access],
        facts: Mapping[str, Mapping[str, Any]],
        folder: Path,
        program: Callable[[str], bool] = is_here,
    ) -> None:
        self._access = access
        self._facts = facts
        self._folder = folder
        self._program = program
        self.whole: set[str] = set()

    def send(
        self,
        agent: Agent,
        source: Path,
        target: str,
        missing: Sequence[str],
        excluded: bytes,
        elsewhere: Mapping[str, str] = NOWHERE,
    ) -> bool:
        """Send files under a directory, and return whether none of them has gone meanwhile.

        Args:
            agent: of the host.
            source: the directory.
            target: directory on the host, which exists.
            missing: paths that the host does not have; enough to send.
            excluded: lines for rsync's --exclude-from: the rest of the directory.
            elsewhere: paths whose content is not under the directory, which only tar can send: {path: absolute path}.

        Raises:
            HostFailed: naming the reason.
        """
        way = self._way(agent.host, rsync=not elsewhere)
        return send_tree(agent, way, source, target, excluded) if way.rsync else send_tar(agent, way, source, target, missing, elsewhere)

    def send_whole(self, agent: Agent, source: Path, target: str, only: Sequence[str] = ()) -> None:
        """Send a directory, or some of the files at its top. The host proves what arrives: a cache may come and go."""
        way = self._way(agent.host)
        if way.rsync:  # which lists the directory itself
            excluded = b"".join(b"+ /%s\n" % os.fsencode(name) for name in only) + b"- /*\n" if only else b"- /%s\n" % MARKER.encode()
            send_tree(agent, way, source, target, excluded)
        else:
            send_tar(agent, way, source, target, only or [path for path in _below(source) if path != MARKER])

    def _way(self, host: str, *, rsync: bool = True) -> Way:
        """Return how files reach a host: by rsync if that may be, and both sides have it."""
        there, here = bool(self._facts[host]["rsync"]), self._program(RSYNC)
        if there and not here:
            self.whole.add(host)
        return Way(self._access[host].argv, self._folder, rsync and there and here)


def _below(source: Path) -> list[str]:
    """Return the paths below a directory, a directory before its content; what is gone when it is looked at is none."""
    found = []
    for folder, folders, files in os.walk(source):
        found += [str(Path(folder, name).relative_to(source)) for name in (*folders, *files)]
    return sorted(found)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root on hosts, by Ansible's become: the hosts that give it, and the reasons of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..job.errors import UsageError
from ..job.settings import JobSettings
from .access import Access
from .fleet import Fleet
from .subprocesses import Cancelled

#: Makes the fleet of some hosts on which to be root, and gives the reasons of those on which nobody can be.
RootFleet = Callable[[Sequence[str]], tuple[Fleet, Mapping[str, str]]]


class TwoRounds:
    """The fleets of a change: all hosts as the user who connects, and later root on some of them.

    Args:
        fleet: all hosts.
        root: makes the other fleet.
    """

    def __init__(self, fleet: Fleet, root: RootFleet) -> None:
        self._fleets = [fleet]
        self._root = root
        self._stopped = False

    def stop(self) -> None:
        """End both from another thread, the second one too if it is still to be made."""
        self._stopped = True
        for fleet in list(self._fleets):
            fleet.stop()

    def become_root(self, hosts: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        """Return the fleet of some hosts as root, not opened yet, and the reasons of those on which nobody can be.

        Raises:
            Cancelled: `stop` was called.
        """
        fleet, reasons = self._root(hosts)
        self._fleets.append(fleet)
        if self._stopped:  # perhaps before there was this fleet to stop
            raise Cancelled
        return fleet, reasons


def root_fleet(access: Mapping[str, Access], settings: JobSettings) -> tuple[Fleet, dict[str, str]]:
    """Return the fleet of the hosts on which to be root, not opened yet, and the reasons of the others.

    Args:
        access: by host, how it is reached as root.
        settings: limit how long a silent host is waited for.
    """
    reasons = {name: reason for name, each in access.items() if (reason := _reason(name, each))}
    return Fleet({name: each for name, each in access.items() if name not in reasons}, settings), reasons


def _reason(host: str, access: Access) -> str:
    """Return why nobody can be root with an access, or nothing."""
    try:
        access.argv(access.agent)
    except UsageError as exc:
        return str(exc).removeprefix(f"{host}: ")
    return ""


def without_root(fleet: Fleet, hosts: Sequence[str]) -> dict[str, str]:
    """Return the reasons of the hosts whose agent is not root's, as sudo wants a password for example.

    Args:
        fleet: as root, open.
        hosts: of it.

    Raises:
        Cancelled: the fleet was stopped.
    """
    asked = fleet.ask("becoming root on", lambda agent: agent.call("running")["uid"], hosts)
    others = {host: "become gives another user than root; leave become_user out" for host, uid in asked.results.items() if uid}
    return {host: {**others, **asked.failed}[host] for host in hosts if host in others or host in asked.failed}

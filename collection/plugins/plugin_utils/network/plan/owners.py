# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about other software that sets up a host's ports, or takes their traffic. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..facts.finding import NOTE, WARN, Finding
from ..facts.host import HostNetwork

_KNOWN_OWNER = "io.exo.networksetup.plist"
_EXO_LOCATION = "exo"


def owner_findings(host: HostNetwork, used: Collection[str]) -> Iterator[Finding]:
    """Yield the findings about one host.

    Args:
        host: its network.
        used: its interfaces that carry a job.
    """
    if _KNOWN_OWNER in host.owners or host.location == _EXO_LOCATION:
        text = "exo sets up the Thunderbolt ports again every half hour; remove its daemon and choose the location Automatic"
        yield Finding(WARN, "owner", text, host.name)
    for name in host.owners:
        if name != _KNOWN_OWNER:
            yield Finding(NOTE, "owner", f"{name} is installed, which may take the traffic of the cables", host.name)
    for name in host.shared:
        if name in used or name.startswith("bridge"):
            text = "Internet Sharing gives addresses and a default route to the other end; turn it off for Thunderbolt"
            yield Finding(WARN, "sharing", text, host.name, name)
    if host.lease:
        text = "the Thunderbolt bridge has an address by DHCP, which can take the default route; take the ports out of it"
        yield Finding(WARN, "dhcp", text, host.name, "bridge0")

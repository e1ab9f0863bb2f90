# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that give the hosts of a plan their addresses. Pure: lists of words, which no shell has to split.

An address by networksetup(8) stays after a restart. One by ifconfig(8), for a port without a service, does not.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface

from ....module_utils.shared.network import port_setup
from ..facts.host import HostNetwork
from .plan import Plan

Command = tuple[str, ...]


def setup_commands(plan: Plan) -> dict[str, list[Command]]:
    """Return the commands by host, for root; nothing for a host whose addresses are right."""
    found = {host.name: list(_of_host(plan, at, host)) for at, host in enumerate(plan.hosts)}
    return {name: commands for name, commands in found.items() if commands}


def _of_host(plan: Plan, at: int, host: HostNetwork) -> Iterator[Command]:
    for link in plan.links:
        if at in link.cable.hosts and not link.kept:
            yield from _port(host, link.cable.end(at).interface, link.address(at))


def _port(host: HostNetwork, interface: str, address: IPv4Interface) -> Iterator[Command]:
    known = host.interfaces.get(interface)
    service = next((service.name for service in host.services if service.device == interface and service.enabled), "")
    now = {
        "interface": interface,
        "hardware": known.port if known else "",
        "bridge": known.bridge if known else "",
        "addresses": [[str(each.ip), str(each.netmask)] for each in known.addresses] if known else [],
        # How it is set now is not known here, and makes no difference.
        "service": {"name": service, "method": "", "ip": "", "mask": "", "router": ""} if service else None,
    }
    wanted = port_setup.wanted_state(now, str(address.ip), str(address.netmask))
    yield from (tuple(step) for step in port_setup.steps(now, wanted))


def as_text(commands: Sequence[Command]) -> list[str]:
    """Return commands as lines for a shell, quoted, with sudo."""
    return [shlex.join(("sudo", *command)) for command in commands]

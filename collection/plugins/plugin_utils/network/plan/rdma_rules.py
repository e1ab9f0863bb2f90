# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of RDMA over Thunderbolt: which cables can carry it, and the obstacles of the others. Pure.

macOS 26.2 and Thunderbolt 5 on both ends, enabled in Recovery (Apple TN3205). The link has to run at 80 Gb/s: with 40
the devices are there and jaccl crashes (mlx#4485). `rdma_ctl status` alone proves nothing (omlx#3037).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...output.columns import named
from ..facts.finding import Finding
from ..facts.host import HostNetwork
from ..facts.rdma import ACTIVE
from ..topology.cables import Cable, End

LEAST_SPEED = 80.0  # Gb/s
FAR_SIDE = "its peers do not see RDMA enabled here; in Recovery, run rdma_ctl enable, then restart"
#: Hosts in a mesh, MESH_MAX_PEERS of mlx/distributed/jaccl/lib/jaccl/mesh_impl.h; devices between neighbours in a ring,
#: RING_MAX_CONNS of ring_impl.h there. With more, MLX silently makes a world of one (mlx#4283).
MOST_IN_A_MESH, MOST_BETWEEN_NEIGHBOURS = 8, 4


def can_rdma(hosts: Sequence[HostNetwork], cable: Cable) -> bool:
    """Return whether a cable can carry RDMA."""
    return next(_obstacles(hosts, cable), None) is None


def is_active(hosts: Sequence[HostNetwork], cable: Cable) -> bool:
    """Return whether the ports at both ends are active: then the link works, whatever else is reported."""
    return all(hosts[end.host].rdma.state(end.interface) == ACTIVE for end in cable.ends)


def obstacles(hosts: Sequence[HostNetwork], cables: Sequence[Cable], level: str) -> list[Finding]:
    """Return the obstacles of cables as findings of a level, those of one host or kind together."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for cable in cables:
        for kind, host, text in _obstacles(hosts, cable):
            found.setdefault((kind, host, text), []).append(_pair(hosts, cable))
    return [Finding(level, kind, text.replace("{cables}", named(names)), host) for (kind, host, text), names in found.items()]


def _pair(hosts: Sequence[HostNetwork], cable: Cable) -> str:
    one, other = cable.ends
    return f"{hosts[one.host].name} {one.interface} -- {hosts[other.host].name} {other.interface}"


def _obstacles(hosts: Sequence[HostNetwork], cable: Cable) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, host, text) of all that keeps RDMA off a cable."""
    if 0 < cable.speed < LEAST_SPEED:
        yield "rdma_speed", "", "RDMA needs a link of 80 Gb/s, and slower are: {cables}; use Thunderbolt 5 ports, cables and no dock"
    elif not cable.speed:
        yield "rdma_speed", "", "RDMA needs a link of 80 Gb/s, and no connected speed is reported for: {cables}"
    for end in cable.ends:
        yield from _end_obstacles(hosts[end.host], end, cable, proven=is_active(hosts, cable))


def _end_obstacles(host: HostNetwork, end: End, cable: Cable, *, proven: bool) -> Iterator[tuple[str, str, str]]:
    if trouble := device_obstacle(host, end.interface):
        yield (trouble[0], host.name, trouble[1])
    elif cable.rdma.get(end.host) is False and not proven:
        yield "rdma_far_side", host.name, FAR_SIDE


def device_obstacle(host: HostNetwork, interface: str) -> tuple[str, str] | None:
    """Return (kind, text) of the reason for which an interface of a host has no RDMA device; None when it has one."""
    system = host.system
    if not system.at_least_26_2:
        return "rdma_system", f"RDMA needs macOS 26.2 or newer, and this is {system.name} {system.version}".rstrip() + "; update it"
    if host.rdma.enabled is False:
        return "rdma_disabled", "RDMA is disabled; start it in Recovery and run rdma_ctl enable in its Terminal"
    if not host.rdma.devices:
        said = ", though rdma_ctl says that it is enabled: not every Mac that says so has Thunderbolt 5" if host.rdma.enabled else ""
        return "rdma_no_device", f"it has no RDMA devices{said}; in Recovery, rdma_ctl enable makes them on a Mac with Thunderbolt 5"
    if not host.rdma.device(interface):
        return "rdma_no_device", f"it has no device rdma_{interface}; its port may be no Thunderbolt 5"
    return None

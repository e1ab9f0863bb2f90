# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule about RDMA: whether each device that the job uses is there and ready, and the reason where it is not. Pure.

Sources: Apple TN3205; `network/plan/rdma_rules`. Only what keeps MLX from opening a device fails: a port that is down
may be one after a job that was ended, and a host's programs may tell less than there is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...job.check_row import FAIL, OK, WARN, Cell
from ...network.facts.interfaces import Interface
from ...network.facts.rdma import DOWN
from ...network.plan.rdma_rules import FAR_SIDE, LEAST_SPEED, device_obstacle, is_active
from ...network.plan.wishes import JACCL, JACCL_RING
from ..facts import HostFacts
from .cluster import Cluster, Rules

_APPLY = "mlxlaunch network --apply"


def _rdma(host: HostFacts, cluster: Cluster) -> Cell:
    if cluster.backend not in (JACCL, JACCL_RING) or host.found["system"]["name"] != "macOS":
        return Cell()
    cell = Cell("ok", OK)
    if "ibv_devices.txt" not in host.reports:
        reason = host.failed.get("ibv_devices.txt", "no answer")
        cell.note(WARN, f"its RDMA devices are not known, as ibv_devices failed: {reason}; run it there")
        return cell
    for device in host.rdma:
        if device not in host.network.rdma.devices:
            obstacle = device_obstacle(host.network, device.removeprefix("rdma_"))
            cell.note(FAIL, f"{device}: {obstacle[1] if obstacle else 'it has no such device; look at mlx_rdma'}")
        else:
            for text in _doubts(host, device.removeprefix("rdma_"), cluster):
                cell.note(WARN, f"{device}: {text}")
    return cell


def _doubts(host: HostFacts, name: str, cluster: Cluster) -> Iterator[str]:
    """Yield the reasons for which the device of an interface may not work."""
    interface = host.network.interfaces.get(name)
    if interface:
        yield from _of_interface(interface)
    if host.network.rdma.state(name) == DOWN and not (interface and interface.bridge):
        yield "its port is down, which it also says after a job that was ended; try it, and restart the Mac if jaccl fails"
    yield from _of_cable(host, name, cluster)


def _of_interface(interface: Interface) -> Iterator[str]:
    """A bridge keeps RDMA off its members (TN3205), and jaccl takes the first IPv4 address of a port (mlx#4191)."""
    if interface.bridge:
        yield f"{interface.bridge} has its port, which keeps RDMA off it; {_APPLY} takes it out"
    if not interface.addresses:
        yield f"its port has no IPv4 address, and jaccl needs one; {_APPLY} gives it one"
    elif len(interface.addresses) > 1:
        has = ", ".join(str(address.ip) for address in interface.addresses[:4])
        yield f"its port has {has}, and jaccl takes the first; {_APPLY} leaves one"


def _of_cable(host: HostFacts, name: str, cluster: Cluster) -> Iterator[str]:
    """The link has to run at 80 Gb/s (mlx#4485), and both Macs have to have RDMA enabled (TN3205)."""
    networks = [each.network for each in cluster.asked]
    at = [each.host for each in cluster.asked].index(host.host)
    cable = next((each for each in cluster.cables for end in each.ends if (end.host, end.interface) == (at, name)), None)
    if cable is None:
        if host.network.ports:
            yield "no cable to one of these hosts is seen there; plug it in, or look at mlx_rdma"
        return
    if 0 < cable.speed < LEAST_SPEED:
        yield f"its link has {cable.speed:g} Gb/s, and RDMA needs {LEAST_SPEED:g}; use Thunderbolt 5 ports, cables and no dock"
    if cable.rdma.get(at) is False and not is_active(networks, cable):
        yield FAR_SIDE


RULES: Rules = {"rdma": _rdma}

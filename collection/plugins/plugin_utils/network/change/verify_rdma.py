# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RDMA ports of a plan after a setup: state, and the address that jaccl will find."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping

from ...hosts.agents import Agent
from ...hosts.fleet import Fleet
from ..facts.rdma import ACTIVE, DOWN
from ..plan.plan import Plan
from ..plan.wishes import JACCL, JACCL_RING

_STATE = re.compile(r"^[ \t]*state:[ \t]*(\S{1,64})", re.MULTILINE)
#: jaccl connects with this index (mlx/distributed/jaccl/lib/jaccl/rdma.cpp); Apple TN3205 has IPv4 there.
_GID = re.compile(r"^[ \t]*GID\[[ \t]*1\]:[ \t]*([0-9a-fA-F:.]{1,64})", re.MULTILINE)
_ANY_GID = re.compile(r"^[ \t]*GID\[", re.MULTILINE)  # some versions list none


def rdma_troubles(fleet: Fleet, plan: Plan, unready: Collection[str]) -> list[tuple[str, str, str]]:
    """Return (host, interface, trouble) of the RDMA ports of a plan.

    Args:
        fleet: all hosts, open.
        plan: the plan; without RDMA there is no trouble.
        unready: hosts that are not set up yet.
    """
    if plan.backend not in (JACCL, JACCL_RING):
        return []
    wanted: dict[str, dict[str, str]] = {}
    for link in plan.links:
        for end in link.cable.ends:
            host = plan.hosts[end.host].name
            if host not in unready:
                wanted.setdefault(host, {})[end.interface] = str(link.address(end.host).ip)

    def ask(agent: Agent) -> Mapping[str, str]:
        found: Mapping[str, str] = agent.call("rdma_ports", devices=[f"rdma_{name}" for name in wanted[agent.host]])
        return found

    answers = fleet.ask("looking at RDMA ports of", ask, list(wanted))
    return [
        (host, name, trouble)
        for host, ports in wanted.items()
        for name, address in ports.items()
        for trouble in _troubles(str(answers.results.get(host, {}).get(f"rdma_{name}", "")), address)
    ]


def _troubles(text: str, address: str) -> Iterator[str]:
    state, gid = _STATE.search(text), _GID.search(text)
    if not state:
        yield "ibv_devinfo shows no such RDMA port; restart the Mac"
        return
    if state[1] not in (ACTIVE, DOWN):  # one that is down may work all the same, and the plan has warned of it
        yield f"its RDMA port is {state[1]}; see that both Macs have RDMA enabled and no bridge has the port, then restart them"
    if not gid and _ANY_GID.search(text):
        yield f"it has no GID 1, where jaccl wants ::ffff:{address}; run mlxlaunch network --apply again, or restart the Mac"
    if gid and _ipv4(gid[1]) != address:
        yield f"its GID 1 is {gid[1]}, and jaccl wants ::ffff:{address} there; take other addresses off this port"


def _ipv4(text: str) -> str:
    try:
        mapped = ipaddress.IPv6Address(text).ipv4_mapped
    except ValueError:
        return ""
    return str(mapped) if mapped else ""

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a network: backend, order of ranks, cables with their addresses, devices. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..facts.finding import FAIL, Finding
from ..facts.host import HostNetwork
from ..topology.cables import Cabling
from ..topology.topology import Topology
from .ethernet import EthernetPlan
from .subnets import Addressed


@dataclass(frozen=True)
class Plan:
    """A plan, or the reason that there is none.

    Attributes:
        hosts: the hosts that take part, in the order of the inventory.
        cabling: the cables between them.
        topology: what the usable cables make.
        over: thunderbolt or ethernet; empty without a plan.
        backend: ring, jaccl or jaccl-ring; empty without a plan.
        order: places of the hosts by rank.
        width: cables between neighbours.
        links: the cables that are used, with addresses.
        ethernet: the address of each host outside of the cables.
        ips, rdma: by rank, as a hostfile has them.
        problem: why there is no plan, or empty.
        findings: all that is to be known.
    """

    hosts: tuple[HostNetwork, ...]
    cabling: Cabling
    topology: Topology
    over: str = ""
    backend: str = ""
    order: tuple[int, ...] = ()
    width: int = 0
    links: tuple[Addressed, ...] = ()
    ethernet: EthernetPlan = field(default_factory=EthernetPlan)
    ips: tuple[tuple[str, ...], ...] = ()
    rdma: tuple[tuple[Any, ...], ...] = ()
    problem: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def failing(self) -> bool:
        """Whether anything stands in the way."""
        return bool(self.problem) or any(finding.level == FAIL for finding in self.findings)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a plan for a network: backend, order of ranks, cables with their addresses, devices. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...output.columns import named
from ..facts.finding import FAIL, NOTE, Finding
from ..facts.host import HostNetwork
from ..topology.cables import find_cables
from ..topology.topology import Topology, missing_cables
from .advice import advice
from .ethernet import plan_ethernet
from .plan import Plan
from .rdma_rules import can_rdma, obstacles
from .subnets import NoSubnet, address_cables
from .thunderbolt import Choice, choices, devices, left_neighbour_ips
from .wishes import AUTO, ETHERNET, JACCL, JACCL_RING, MESH, RING, THUNDERBOLT, Wishes


def plan_network(hosts: Sequence[HostNetwork], wishes: Wishes) -> Plan:
    """Return the plan of the hosts that could be asked.

    Args:
        hosts: all of them, in the order of the inventory.
        wishes: those of the user.
    """
    here = tuple(host for host in hosts if not host.failure)
    lost = [finding for host in hosts if host.failure for finding in host.findings]
    if wishes.ignore_unreachable:
        lost = [replace(finding, level=NOTE) for finding in lost]
    cabling = find_cables(here)
    plan = Plan(here, cabling, Topology(len(here), tuple(cabling.usable)))
    plan = _choose(plan, wishes)
    known = [*lost, *(finding for host in here for finding in host.findings), *cabling.findings, *plan.findings]
    return replace(plan, findings=tuple(dict.fromkeys([*known, *advice(plan.hosts, plan.topology, plan)])))


def _choose(plan: Plan, wishes: Wishes) -> Plan:
    if len(plan.hosts) < 2:
        return _failed(plan, f"a network needs two hosts, and here {'is one' if plan.hosts else 'is none'} that could be asked")
    ethernet = plan_ethernet(plan.hosts, wishes.interface)
    plan = replace(plan, ethernet=ethernet)
    if wishes.over == ETHERNET:
        return _over_ethernet(plan)
    over_cables = _over_thunderbolt(plan, wishes)
    if not over_cables.problem or wishes.over == THUNDERBOLT or wishes.require or wishes.backend in (JACCL, JACCL_RING) or wishes.subnet:
        return over_cables
    fallback = _over_ethernet(plan)
    text = f"not over Thunderbolt: {over_cables.problem}"
    notes = (*(replace(finding, level=NOTE) for finding in over_cables.findings), Finding(NOTE, "no_thunderbolt", text))
    if fallback.problem:
        return _failed(plan, f"{over_cables.problem}; and over Ethernet: {fallback.problem}")
    return replace(fallback, findings=(*notes, *fallback.findings))


def _failed(plan: Plan, problem: str, findings: Sequence[Finding] = ()) -> Plan:
    return replace(plan, problem=problem, findings=tuple(findings))


def _over_ethernet(plan: Plan) -> Plan:
    if plan.ethernet.problem:
        return _failed(plan, plan.ethernet.problem)
    return replace(
        plan,
        over=ETHERNET,
        backend=RING,
        order=tuple(range(len(plan.hosts))),
        width=1,
        ips=tuple((address,) for address in plan.ethernet.addresses),
        rdma=tuple(() for _host in plan.hosts),
        findings=plan.ethernet.findings,
    )


def _over_thunderbolt(plan: Plan, wishes: Wishes) -> Plan:
    hosts, topology = plan.hosts, plan.topology
    if problem := _unmet(plan, wishes.require):
        return _failed(plan, problem)
    fast = Topology(len(hosts), tuple(cable for cable in topology.cables if can_rdma(hosts, cable)))
    # Obstacles are in the way only of whoever asks for RDMA.
    wants_rdma = wishes.backend in (JACCL, JACCL_RING)
    doubts = obstacles(hosts, topology.cables, FAIL if wants_rdma else NOTE)
    if not wants_rdma and wishes.backend == RING:
        doubts = []
    # Rank 0 of jaccl is its coordinator, at an address that needs no RDMA.
    apart = plan.ethernet.problem
    lack = f"needs an address of rank 0 that all hosts reach outside of the cables: {apart}" if apart else ""
    found = choices(hosts, topology, fast, wishes.backend, lack)
    choice = next((each for each in found if not each.problem), None)
    if choice is None:
        return _failed(plan, _reason(plan, found, wishes), doubts)
    if choice.backend != RING:
        doubts = [] if len(fast.cables) == len(topology.cables) else obstacles(hosts, topology.cables, NOTE)
    elif lack and fast.ring and wishes.backend == AUTO:
        doubts = [*doubts, Finding(NOTE, "no_coordinator", f"not {JACCL}, which {lack}")]
    return _with_addresses(plan, choice, wishes, doubts)


def _unmet(plan: Plan, require: str) -> str:
    """Return why the topology that is required is not there, or nothing."""
    topology = plan.topology
    if require == RING and not topology.ring:
        return f"{topology.no_ring}{_needed(plan, RING)}"
    if require == MESH and not topology.mesh:
        return f"no mesh of all hosts{_needed(plan, MESH)}"
    return ""


def _needed(plan: Plan, kind: str) -> str:
    missing = plan.topology.missing.get(kind, [])
    return f"; add {named(missing_cables(plan.hosts, missing))}" if missing else ""


def _reason(plan: Plan, found: Sequence[Choice], wishes: Wishes) -> str:
    topology = plan.topology
    if not topology.cables:
        return "no Thunderbolt cable connects two of these hosts"
    problem = found[-1].problem if wishes.backend == AUTO else found[0].problem
    part = topology.part_ring
    use = ""
    if part and wishes.backend != JACCL and not topology.ring:
        use = (
            f"; a ring of {len(part.order)} is there, to use with --limit or --hosts: {','.join(plan.hosts[at].name for at in part.order)}"
        )
    kind = MESH if wishes.backend == JACCL else RING
    return f"{problem}{_needed(plan, kind)}{use}"


def _with_addresses(plan: Plan, choice: Choice, wishes: Wishes, doubts: Sequence[Finding]) -> Plan:
    try:
        links = address_cables(plan.hosts, choice.cables, wishes.subnet)
    except NoSubnet as exc:
        return _failed(plan, str(exc), doubts)
    plan = replace(plan, over=THUNDERBOLT, backend=choice.backend, order=choice.order, width=choice.width, links=tuple(links))
    if choice.backend == RING:
        ips = tuple(left_neighbour_ips(choice, links))
        return replace(plan, ips=ips, rdma=tuple(() for _host in plan.hosts), findings=tuple(doubts))
    return replace(
        plan,
        ips=tuple((plan.ethernet.addresses[at],) for at in choice.order),
        rdma=tuple(devices(choice)),
        findings=(*doubts, *plan.ethernet.findings),
    )

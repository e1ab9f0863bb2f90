# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network as one document for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....module_utils.shared.exit_status import EXIT_NOT_READY
from ...job.hostfile import Entry, Hostfile
from ..plan.plan import Plan
from ..plan.rdma_rules import can_rdma
from ..plan.setup import setup_commands
from ..plan.wishes import ETHERNET
from ..topology.cables import Cable
from .rows import rows_of

FORMAT = 1


def document_of(plan: Plan, ssh: Mapping[str, str]) -> dict[str, Any]:
    """Return hosts, cables, topology, plan and findings as plain data.

    Args:
        plan: the plan, or the reason that there is none.
        ssh: the name to reach each host by, where that is not its name.
    """
    return {
        "format": FORMAT,
        "returncode": EXIT_NOT_READY if plan.failing else 0,
        "message": message_of(plan),
        "hosts": [_host(plan, at) for at in range(len(plan.hosts))],
        "links": [row.to_json() for row in rows_of(plan)],
        "cables": [_cable(plan, cable) for cable in plan.cabling.cables],
        "topology": _topology(plan),
        "plan": None if plan.problem else _plan(plan, ssh),
        "findings": [finding.to_json() for finding in plan.findings],
    }


def message_of(plan: Plan) -> str:
    """Return the outcome as one line for a person."""
    if plan.problem:
        return plan.problem
    failing = [finding for finding in plan.findings if finding.level == "fail"]
    if failing:
        first = f"{failing[0].host}: {failing[0].text}" if failing[0].host else failing[0].text
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        return f"{first}{more}"
    if plan.over == ETHERNET:
        return f"{len(plan.hosts)} hosts reach each other over Ethernet: backend {plan.backend}"
    kept = sum(link.kept for link in plan.links)
    state = "all are set" if kept == len(plan.links) else f"{len(plan.links) - kept} to be set"
    cables = f"{len(plan.links)} Thunderbolt cable{'s'[len(plan.links) == 1 :]}"
    return f"{len(plan.hosts)} hosts, backend {plan.backend} over {cables}: {state}"


def _host(plan: Plan, at: int) -> dict[str, Any]:
    host = plan.hosts[at]
    return {
        "host": host.name,
        "rank": plan.order.index(at) if at in plan.order else None,
        "system": host.system.name,
        "version": host.system.version,
        "build": host.system.build,
        "model": host.system.model,
        "interfaces": [
            {
                "interface": each.name,
                "kind": each.kind,
                "addresses": [str(address) for address in each.addresses],
                "active": each.active,
                "speed": each.speed,
                "bridge": each.bridge,
                "port": each.port,
                "rdma": host.rdma.device(each.name),
                "rdma_state": host.rdma.state(each.name),
            }
            for each in host.interfaces.values()
        ],
    }


def _cable(plan: Plan, cable: Cable) -> dict[str, Any]:
    link = next((link for link in plan.links if link.cable is cable), None)
    return {
        "ends": [
            {
                "host": plan.hosts[end.host].name,
                "interface": end.interface,
                "receptacle": end.port.bus.receptacle,
                "address": str(link.address(end.host)) if link else "",
            }
            for end in cable.ends
        ],
        "speed": cable.speed,
        "through": list(cable.through),
        "seen_from": [plan.hosts[at].name for at in sorted(cable.seen_from)],
        "rdma": can_rdma(plan.hosts, cable),
        "blocked": cable.blocked,
        "used": link is not None,
        "set": bool(link and link.kept),
    }


def _topology(plan: Plan) -> dict[str, Any]:
    topology, names = plan.topology, [host.name for host in plan.hosts]

    def part(found: Any, places: str) -> dict[str, Any] | None:
        return {"hosts": [names[at] for at in getattr(found, places)], "width": found.width} if found else None

    return {
        "matrix": topology.matrix,
        "ring": part(topology.ring, "order"),
        "mesh": part(topology.mesh, "hosts"),
        "largest_ring": part(topology.part_ring, "order"),
        "largest_mesh": part(topology.part_mesh, "hosts"),
        "missing": {kind: [[names[at] for at in pair] for pair in pairs] for kind, pairs in topology.missing.items()},
    }


def _plan(plan: Plan, ssh: Mapping[str, str]) -> dict[str, Any]:
    return {
        "over": plan.over,
        "backend": plan.backend,
        "width": plan.width,
        "ranks": [
            {
                "rank": rank,
                "host": plan.hosts[at].name,
                "ssh": ssh.get(plan.hosts[at].name, plan.hosts[at].name),
                "ips": list(plan.ips[rank]),
                "rdma": list(plan.rdma[rank]),
            }
            for rank, at in enumerate(plan.order)
        ],
        "setup": {host: [list(command) for command in commands] for host, commands in setup_commands(plan).items()},
    }


def hostfile_of(plan: Plan, ssh: Mapping[str, str], envs: tuple[str, ...] = (), backend: str | None = None) -> Hostfile:
    """Return the hostfile of a plan.

    Args:
        plan: one without a problem.
        ssh: the name to reach each host by, where that is not its name.
        envs: variables, "NAME=VALUE".
        backend: the backend to write, by default that of the plan.
    """
    names = [plan.hosts[at].name for at in plan.order]
    entries = (Entry(ssh.get(name, name), ips, rdma) for name, ips, rdma in zip(names, plan.ips, plan.rdma, strict=True))
    return Hostfile(tuple(entries), plan.backend if backend is None else backend, envs)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network as text for a person: the table, the topology and the findings. Pure.

Texts of hosts are escaped here, once for all lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...output.columns import WIDTH, columns, named, one_line, wrapped
from ...output.escape import escape
from ..facts.finding import FAIL, NOTE, WARN
from ..plan.plan import Plan
from ..plan.rdma_rules import can_rdma
from ..topology.cables import Cable
from ..topology.topology import missing_cables
from .rows import Row, rows_of

_HEADS = ("host", "interface", "kind", "address", "peer", "state")


def render(plan: Plan, width: int = WIDTH, more: Sequence[str] = ()) -> str:
    """Return the text, no line of which is wider than `width`.

    Args:
        plan: the plan, or the reason that there is none.
        width: columns.
        more: lines about work that was done.
    """
    blocks = [_table(rows_of(plan), width), _wrapped(_topology(plan), width), _wrapped(_summary(plan), width), _findings(plan, width)]
    blocks.append([_keep(line) for line in more])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _table(rows: Sequence[Row], width: int) -> list[str]:
    return columns([_HEADS, *((r.host, r.interface, r.kind, r.address, r.peer, r.state) for r in rows)], width)


def _topology(plan: Plan) -> Iterator[str]:
    cables = plan.cabling.cables
    if cables:
        yield "cables"
    for cable in cables:
        yield f"  {cable_text(plan, cable)}"
    topology = plan.topology
    names = [host.name for host in plan.hosts]
    if topology.ring:
        yield f"ring of {len(names)}, {_cables(topology.ring.width)} wide: {', '.join(names[at] for at in topology.ring.order)}"
    elif topology.part_ring:
        part = topology.part_ring.order
        yield f"no ring over all hosts; a ring of {len(part)}: {', '.join(names[at] for at in part)}"
    elif cables:
        yield "no ring"
    if topology.mesh:
        yield f"mesh of {len(names)}, {_cables(topology.mesh.width)} wide"
    elif topology.part_mesh and len(names) > 3:
        yield f"no mesh of all hosts; a mesh of {len(topology.part_mesh.hosts)}: {', '.join(names[at] for at in topology.part_mesh.hosts)}"
    for kind, pairs in topology.missing.items() if cables else ():
        yield f"missing for a {kind}: {named(missing_cables(plan.hosts, pairs), 6)}"


def cable_text(plan: Plan, cable: Cable) -> str:
    """Return the line about one cable: its ends, its speed, the devices between, and by whom it is seen."""
    one, other = (f"{plan.hosts[end.host].name} {end.interface or '?'}" for end in cable.ends)
    parts = [f"{cable.speed:g} Gb/s" if cable.speed else "speed not known"]
    if can_rdma(plan.hosts, cable):
        parts.append("RDMA")
    if cable.through:
        parts.append(f"through {named(cable.through)}")
    if cable.one_sided:
        parts.append(f"seen only from {plan.hosts[next(iter(cable.seen_from))].name}")
    return f"{one} -- {other}  {', '.join(parts + ([cable.blocked] if cable.blocked else []))}"


def _cables(count: int) -> str:
    return f"{count} cable{'s'[count == 1 :]}"


def _summary(plan: Plan) -> Iterator[str]:
    if plan.problem:
        return
    names = [plan.hosts[at].name for at in plan.order]
    yield f"plan: {plan.backend} over {plan.over}, ranks 0 to {len(names) - 1}: {', '.join(names)}"


def _keep(line: str) -> str:
    """Return a line as it is, as it may be one to copy; escaped."""
    return escape(line)


def _wrapped(lines: Iterator[str], width: int) -> list[str]:
    return [part for line in lines for part in wrapped(_keep_indent(line), width, "    ")]


def _keep_indent(line: str) -> str:
    return ("  " if line.startswith("  ") else "") + _gaps(line)


def _gaps(line: str) -> str:
    """Return a line as one, with the gaps of two spaces that part its columns."""
    return "  ".join(" ".join(part.split()) for part in escape(line).strip().split("  ") if part.strip())


def _findings(plan: Plan, width: int) -> list[str]:
    order = {FAIL: 0, WARN: 1, NOTE: 2}
    places: dict[tuple[str, str], list[str]] = {}
    for finding in sorted(plan.findings, key=lambda each: order.get(each.level, 3)):
        if not finding.kind.startswith("missing_for"):  # stands with the topology
            where = " ".join(part for part in (finding.host, finding.interface) if part)
            places.setdefault((finding.level, finding.text), []).append(where)
    lines: list[str] = []
    for (level, text), found in places.items():
        where = named([place for place in found if place])
        lines += wrapped(f"{level}  {one_line(f'{where}: {text}' if where else text)}", width)
    return lines

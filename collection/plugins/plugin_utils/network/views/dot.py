# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cables as a graph for Graphviz, in the form of `mlx.distributed_config --dot`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ...output.escape import escape
from ..plan.plan import Plan


def render_dot(plan: Plan) -> str:
    """Return the graph: a node per host, an edge per cable with both interfaces as its label."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield "graph G {"
    yield "  node [shape=rectangle];"
    for at, host in enumerate(plan.hosts):
        yield f'  {node_id(at)} [label="{quoted(host.name)}"];'
    for cable in plan.cabling.cables:
        (one, other), (first, second) = cable.hosts, cable.ends
        label = quoted(f"{first.interface or '?'}/{second.interface or '?'}")
        yield f'  {node_id(one)} -- {node_id(other)} [label="{label}"]'
    yield "}"


def node_id(at: int) -> str:
    """Return a, b, ..., z, aa, ab and so on."""
    text = ""
    at += 1
    while at:
        at, letter = divmod(at - 1, 26)
        text = chr(97 + letter) + text
    return text


def quoted(text: str) -> str:
    """Return a text that can stand between double quotes in the DOT language."""
    return " ".join(escape(text).split()).replace("\\", "\\\\").replace('"', '\\"')

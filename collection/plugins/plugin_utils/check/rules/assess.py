# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a check: which facts are good enough, and the advice where they are not. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ...job.check_row import FAIL, Cell, Row
from ..facts import HostFacts
from . import connection, leftovers, links, mac, machine, rdma, software, surroundings
from .cluster import Cluster, Rules

_OF_ANSWERS: Rules = {
    **software.RULES,
    **machine.RULES,
    **links.RULES,
    **leftovers.RULES,
    **mac.RULES,
    **rdma.RULES,
    **surroundings.RULES,
}
_RULES: Rules = {**connection.RULES, **_OF_ANSWERS}
#: In the order of the table, then those that have no column there.
COLUMNS = (
    *("reachable", "host key", "python", "environment", "project", "mlx", "mlx.core", "system", "addresses", "neighbours"),
    *("mpirun", "clock", "disk", "memory", "leftovers", "root"),
    *("limits", "sleep", "restart", "wired", "firewall", "rdma", "variables", "logout", "owners"),
)


def assess(facts: Mapping[str, HostFacts], backend: str = "ring", *, dry_run: bool = False) -> list[Row]:
    """Return a row per host, in their order.

    Args:
        facts: by host.
        backend: of the job; only some need mpirun, or RDMA.
        dry_run: what a deploy brings may be missing, as one before this has brought nothing either.
    """
    cluster = Cluster(facts, backend, dry_run=dry_run)
    return [Row(name, host.ranks, _cells(host, cluster)) for name, host in facts.items()]


def _cells(host: HostFacts, cluster: Cluster) -> dict[str, Cell]:
    unknown = () if host.found else _OF_ANSWERS
    found = {name: Cell() if name in unknown else _RULES[name](host, cluster) for name in COLUMNS}
    if host.environment_failure and not host.failure:
        found["environment"] = Cell("none", FAIL, [host.environment_failure])
    return found

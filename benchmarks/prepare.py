# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preparation that finds nothing to change, beside a check of the same hosts, which look like Macs."""

from __future__ import annotations

from .bed import Bed, make_bed
from .contestants import mlxlaunch, playbook
from .deploy import run_to_success, sockets_for
from .measure import COLD, WARM, Results, rounds

NOTHING = "prepare, nothing to change"
CHECK, COMMAND, PLAYBOOK = "mlxlaunch check", "mlxlaunch prepare", "playbooks/prepare.yml"
HOSTS = 8
_ITEMS = {"mlx_prepare_wired_limit": "auto", "mlx_prepare_open_files": "65536", "mlx_prepare_processes": "4096"}


def measure(results: Results, count: int, seconds: float) -> None:
    """Measure so many rounds, on Macs of a lab of their own that were prepared before."""
    with results.survive(NOTHING), make_bed(HOSTS, personality="mac") as bed, bed.sockets() as warm:
        ways = _ways(bed)
        try:
            run_to_success(bed, [*ways[COMMAND], "--apply"], warm, keep=True)
            for name, state in rounds(count, seconds, [(name, state) for name in ways for state in (COLD, WARM)]):
                with results.survive(f"{NOTHING}, {name}, {state}"), sockets_for(bed, state, warm) as sockets:
                    results.add(NOTHING, name, HOSTS, "s", run_to_success(bed, ways[name], sockets).wall, state=state)
        finally:
            bed.drop_masters()
        results.problems += [f"left running on {host}" for host in bed.lab.leftovers()]


def _ways(bed: Bed) -> dict[str, list[str]]:
    """Return the command lines."""
    hosts = bed.lab.hosts
    inventory = ["-i", str(bed.inventory(hosts))]
    items = [word for name, value in _ITEMS.items() for word in ("-e", f"{name}={value}")]
    return {
        CHECK: [*mlxlaunch(), "check", *inventory],
        COMMAND: [*mlxlaunch(), "prepare", *inventory, *items],
        PLAYBOOK: playbook(bed, hosts, "prepare", _ITEMS),
    }

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: job.json, what a job was, so that it can be understood and run again. Pure.

Values of environment variables are not in it, as they are nowhere in a record: some are secrets. Their names are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ._plan import JobPlan
from ._ranktable import RankTable
from ._settings import AUTO_PORT, JobSettings

FORMAT = 1


def job_record(
    settings: JobSettings,
    plan: JobPlan,
    *,
    inventory: Mapping[str, Any],
    deployed: Mapping[str, Any],
    command: Sequence[str],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return what job.json says.

    Args:
        settings: those of the job.
        plan: as it runs.
        inventory: where hosts came from: paths, or the hostfile.
        deployed: what was brought to the hosts, and what it was made from.
        command: the command line that asked for the job.
        versions: of the programs that took part.
    """
    return {
        "format": FORMAT,
        "command": masked(command),
        "versions": dict(versions),
        "backend": settings.backend,
        "settings": {**asdict(settings), "env": sorted(settings.env), "starting_port": settings.starting_port or AUTO_PORT},
        "inventory": dict(inventory),
        "ranks": rank_rows(plan.table),
        "hostfile": hostfile_rows(plan),
        "deployed": dict(deployed),
        "hosts": {host: _host(spec) for host, spec in plan.specs.items()},
    }


def masked(command: Sequence[str]) -> list[str]:
    """Return a command line without the values of environment variables."""
    words: list[str] = []
    for word in command:
        if words and words[-1] == "--env":
            words.append(_hide(word))
        elif word.startswith("--env="):
            words.append(f"--env={_hide(word.removeprefix('--env='))}")
        else:
            words.append("mlx_env=***" if "mlx_env" in word else word)
    return words


def _hide(assignment: str) -> str:
    return f"{assignment.partition('=')[0]}=***"


def rank_rows(table: RankTable) -> list[dict[str, Any]]:
    """Return the rank table: who runs where and listens on what."""
    return [{"rank": rank.rank, "host": rank.host, "local_rank": rank.local_rank, "listen": list(rank.listen)} for rank in table.ranks]


def hostfile_rows(plan: JobPlan) -> list[dict[str, Any]]:
    """Return the same as an MLX hostfile has it."""
    rdma = plan.rdma or [()] * plan.table.world_size
    return [
        {"ssh": rank.host, "ips": list(rank.ips), **({"rdma": list(devices)} if devices else {})}
        for rank, devices in zip(plan.table.ranks, rdma, strict=True)
    ]


def _host(spec: Mapping[str, Any]) -> dict[str, Any]:
    first = spec["ranks"][0]
    return {"python": spec["python"], "argv": list(first["argv"]), "cwd": spec["cwd"] or spec["default_cwd"], "env": sorted(first["env"])}


def _without_ports(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rank's row to compare: ports are a setting, and may be chosen anew for every job."""
    return {**row, "listen": [address.rpartition(":")[0] for address in row["listen"]]}


def rank_differences(before: Sequence[Mapping[str, Any]], table: RankTable) -> list[str]:
    """Return what is different about the ranks of an earlier job; nothing when it is the same."""
    now = rank_rows(table)
    pairs = [(old, new) for old, new in zip(before, now, strict=False) if _without_ports(old) != _without_ports(new)]
    found = [f"rank {old['rank']} is now on {_place(new)}, it was on {_place(old)}" for old, new in pairs]
    if len(before) != len(now):
        found.append(f"there are {len(now)} ranks, there were {len(before)}")
    return found


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['host']} ({', '.join(row['listen'])})" if row["listen"] else str(row["host"])

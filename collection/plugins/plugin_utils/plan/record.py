# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a job, job.json, by which it can be understood and run again. Pure.

It holds names of environment variables but never their values, and no credentials in addresses: those are secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...module_utils.lead.rank_table import RankTable
from ...module_utils.shared.credentials import recordable, without_credentials
from ...module_utils.shared.spec import HostSpec
from ..job.settings import AUTO_PORT, BY_NAME, JobSettings
from .plan import JobPlan

FORMAT = 2
# Settings that are recorded in another form: names for values, and texts without credentials. All others that may be
# secret are not recorded.
_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "env": sorted,
    "index_url": without_credentials,
    **dict.fromkeys(("args", "command", "mpi_args"), recordable),
}


def job_record(
    settings: JobSettings,
    plan: JobPlan,
    *,
    inventory: Mapping[str, Any],
    deployed: Mapping[str, Any],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of job.json.

    Args:
        settings: those of the job.
        plan: as it runs.
        inventory: origin of the hosts: paths, or the hostfile.
        deployed: paths and digests of the deploy, and of its sources.
        versions: of the programs that took part.
    """
    return {
        "format": FORMAT,
        "versions": dict(versions),
        "backend": settings.backend,
        "settings": recorded_settings(settings),
        "inventory": dict(inventory),
        "ranks": rank_rows(plan.table),
        "hostfile": hostfile_rows(plan),
        "deployed": dict(deployed),
        "hosts": {host: _host(spec) for host, spec in plan.specs.items()},
    }


def recorded_settings(settings: JobSettings) -> dict[str, Any]:
    """Return the settings that are known to be no secret, and names or texts without secrets for some others."""
    given = {**vars(settings), "starting_port": settings.starting_port or AUTO_PORT}
    forms = {name: _FORMS.get(name, _same) for name in given if name in _FORMS or BY_NAME[name].public}
    return {name: form(given[name]) for name, form in forms.items()}


def _same(value: Any) -> Any:
    return value


def rank_rows(table: RankTable) -> list[dict[str, Any]]:
    """Return the rank table: the host of each rank, and the addresses it listens on."""
    return [{"rank": rank.rank, "host": rank.host, "local_rank": rank.local_rank, "listen": list(rank.listen)} for rank in table.ranks]


def hostfile_rows(plan: JobPlan) -> list[dict[str, Any]]:
    """Return the rank table in the form of an MLX hostfile."""
    rdma = plan.rdma or [()] * plan.table.world_size
    return [
        {"ssh": rank.host, "ips": list(rank.ips), **({"rdma": list(devices)} if devices else {})}
        for rank, devices in zip(plan.table.ranks, rdma, strict=True)
    ]


def _host(spec: HostSpec) -> dict[str, Any]:
    first = spec.ranks[0]
    return {"python": spec.python, "argv": recordable(list(first.argv)), "cwd": spec.cwd or spec.default_cwd, "env": sorted(first.env)}


def _same_place(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a rank is where it was: its ports are a setting, and its host may yet have to tell its address."""
    if any(address.startswith("<") for address in new["listen"]):
        return {**old, "listen": ()} == {**new, "listen": ()}
    return _without_ports(old) == _without_ports(new)


def _without_ports(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rank's row to compare: ports are a setting, and may be chosen anew for every job."""
    return {**row, "listen": [address.rpartition(":")[0] for address in row["listen"]]}


def rank_differences(before: Sequence[Mapping[str, Any]], table: RankTable) -> list[str]:
    """Return the differences from the ranks of an earlier job, as texts."""
    now = rank_rows(table)
    pairs = [(old, new) for old, new in zip(before, now, strict=False) if not _same_place(old, new)]
    found = [f"rank {old['rank']} is now on {_place(new)}, it was on {_place(old)}" for old, new in pairs]
    if len(before) != len(now):
        found.append(f"there are {len(now)} ranks, there were {len(before)}")
    return found


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['host']} ({', '.join(row['listen'])})" if row["listen"] else str(row["host"])

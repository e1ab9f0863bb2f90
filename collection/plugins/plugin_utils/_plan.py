# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: from settings and hosts to what each host is told. Pure, but for asking for addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._backends import plan_rank, watching_modules
from ._errors import UsageError
from ._hostfile import check_ipv4, is_ip
from ._mpi import MpiJob, candidates, labels, stand_in
from ._ranktable import RankTable, build_rank_table
from ._settings import JobSettings, check_slots

Resolve = Callable[[str], list[str]]
Places = Sequence[tuple[str, tuple[str, ...]]]  # (host, addresses) per rank


@dataclass
class Deployed:
    """What was brought to the hosts; the same on every one.

    Attributes:
        root: directory for all of it.
        environment: directory of the Python environment, or empty.
        environment_digest: proof that it is the same everywhere.
        project: directory of the project, or empty.
        project_digest: proof that it is the same everywhere.
        script: path of the script, or empty.
    """

    root: str = ""
    environment: str = ""
    environment_digest: str = ""
    project: str = ""
    project_digest: str = ""
    script: str = ""

    @property
    def python(self) -> str:
        """Path of the environment's Python, or empty."""
        return f"{self.environment}/bin/python" if self.environment else ""

    @property
    def held(self) -> list[str]:
        """Directories that have to stay while a job runs."""
        return [path for path in (self.environment, self.project) if path]


@dataclass(frozen=True)
class HostSettings:
    """What is set for one host: its inventory name, the name to reach it by, and its part of the settings."""

    name: str
    address: str
    ips: tuple[str, ...] = ()
    slots: int = 1
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    local: bool = False


def host_settings(name: str, variables: Mapping[str, Any], env: Mapping[str, str], local: bool) -> HostSettings:
    """Return a host's settings from its inventory variables.

    Raises:
        UsageError: naming host and variable.
    """
    ips = variables.get("mlx_ips") or ()
    if isinstance(ips, str):
        ips = [part for part in ips.replace(",", " ").split() if part]
    if not isinstance(ips, Sequence):
        raise UsageError(f"{name}: mlx_ips: want a list of IPv4 addresses, not {ips!r}")
    return HostSettings(
        name=name,
        address=str(variables.get("ansible_host") or name),
        ips=tuple(check_ipv4(ip, f"{name}: mlx_ips") for ip in ips),
        slots=check_slots(variables.get("mlx_slots", 1), name),
        python=str(variables.get("mlx_python") or ""),
        env=env,
        local=local,
    )


def ring_addresses(host: HostSettings, resolve: Resolve) -> tuple[str, ...]:
    """Return where a host's ranks listen: mlx_ips, else its address when that is, or resolves to, IPv4.

    Args:
        resolve: name to IPv4 addresses; raises OSError.

    Raises:
        UsageError: no address can be told; says what to set.
    """
    if host.ips:
        return host.ips
    address = host.address.rpartition("@")[2]
    if is_ip(address):
        return (check_ipv4(address, f"{host.name}: ansible_host (set mlx_ips)"),)
    try:
        found = resolve(address)
    except OSError as exc:
        found = []
        reason = str(exc.strerror or exc)
    else:
        reason = "no IPv4 address"
    if not found:
        if host.local:
            return ("127.0.0.1",)
        raise UsageError(f"{host.name}: cannot tell its IPv4 address: {address}: {reason}; set mlx_ips")
    return (found[0],)


def known_addresses(host: HostSettings) -> tuple[str, ...]:
    """Return a host's addresses for a backend that finds its own way: what is plain to see, and nothing that has to be resolved."""
    address = host.address.rpartition("@")[2]
    plain = is_ip(address) and ":" not in address and not address.startswith("127.")
    return host.ips or ((address,) if plain else ())


def places(hosts: Sequence[HostSettings], addresses: Callable[[HostSettings], tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return (host, addresses) per rank, in rank order: hosts in order, each with its slots in a row."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for host in hosts:
        found += [(host.name, addresses(host))] * host.slots
    return found


@dataclass(frozen=True)
class JobPlan:
    """A job as it will run: its rank table, what each host is told, and for mpirun what it is called with."""

    table: RankTable
    specs: Mapping[str, Mapping[str, Any]]
    mpi: MpiJob | None = None


def plan_job(
    job: str,
    settings: JobSettings,
    hosts: Sequence[HostSettings],
    rank_places: Places,
    *,
    default_python: str,
    default_cwd: str,
    terminal: tuple[int, int] | None = None,
    deployed: Deployed | None = None,
) -> JobPlan:
    """Return the plan of a job.

    Args:
        job: its id.
        settings: what holds for all hosts.
        hosts: what holds for each.
        rank_places: (host, addresses) per rank.
        default_python, default_cwd: for hosts that name none.
        terminal: (columns, lines), when known.
        deployed: what was brought to the hosts: where it has something, that counts.
    """
    deployed = deployed or Deployed()
    script = deployed.script or settings.script
    if settings.backend == "mpi":
        rank_places = grouped(rank_places)
    table = build_rank_table(rank_places, settings.starting_port, settings.connections_per_ip)
    by_name = {host.name: host for host in hosts}
    modules = watching_modules(settings.backend, table.world_size)
    specs: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(table.hosts):
        host = by_name[name]
        python = deployed.python or settings.python or host.python or default_python
        argv = list(settings.command) or [python, script, *settings.args]
        ranks = table.of_host(name)
        specs[name] = {
            "job": job,
            "index": index,
            "python": "" if settings.command else python,
            "script": script,
            "command": settings.command[0] if settings.command else "",
            "cwd": settings.cwd,
            # With its directory around it, a script expects to be run there.
            "default_cwd": deployed.project if settings.project_dir else default_cwd,
            "hold": deployed.held,
            "addresses": sorted({ip for rank in ranks for ip in rank.ips}) if table.world_size > 1 else [],
            "listen": [address for rank in ranks for address in rank.listen] if table.world_size > 1 else [],
            "grace": settings.grace,
            "lease": settings.lease,
            "modules": modules,
            "ranks": [_rank_spec(rank, table, settings, host, argv, terminal) for rank in ranks],
        }
    mpi = _mpi_job(job, settings, table, by_name, specs) if settings.backend == "mpi" else None
    return JobPlan(table, specs, mpi)


def grouped(rank_places: Places) -> Places:
    """Return the places with those of a host after each other, as mpirun numbers ranks and mlx.launch calls it."""
    order = list(dict.fromkeys(host for host, _ips in rank_places))
    return sorted(rank_places, key=lambda place: order.index(place[0]))


def _mpi_job(
    job: str, settings: JobSettings, table: RankTable, hosts: Mapping[str, HostSettings], specs: Mapping[str, dict[str, Any]]
) -> MpiJob:
    """Return what mpirun is called with, and have every host look for it. Addresses are its own business."""
    python = specs[table.hosts[0]]["python"]
    where = candidates(settings.mpirun, python)
    for spec in specs.values():
        spec |= {"addresses": [], "listen": [], "mpi": {"candidates": where, "stand_in": stand_in()}}
    addresses = {host: hosts[host].address for host in table.hosts}
    return MpiJob(job, table, labels(table, addresses, settings.mpi_agent), where, settings.mpi_args, python, settings.mpi_agent)


def _rank_spec(rank: Any, table: RankTable, settings: JobSettings, host: HostSettings, argv: list[str], terminal: Any) -> dict[str, Any]:
    plan = plan_rank(rank, table, host.env or {}, backend=settings.backend, verbose=settings.verbose, terminal=terminal)
    return {"rank": rank.rank, "argv": argv, "env": dict(plan.env), "files": dict(plan.files)}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: from settings and hosts to what each host is told. Pure, but for asking for addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ._backends import PORT_FLAG, Wishes, devices, job_needs, listeners, plan_rank, watching_modules
from ._errors import UsageError
from ._hostfile import check_ipv4, is_ip
from ._mpi import MpiJob, candidates, labels, stand_in
from ._portrange import FIRST as _ANY_PORT
from ._portrange import PortRange, ranges
from ._ranktable import ALL, FIRST, Place, RankTable, build_rank_table
from ._settings import JobSettings, check_slots

Resolve = Callable[[str], list[str]]


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
    rdma: tuple[Any, ...] = ()


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
        rdma=_rdma(variables.get("mlx_rdma"), name),
    )


def _rdma(value: Any, name: str) -> tuple[Any, ...]:
    """Return a host's RDMA devices as plain values; `check_rdma` looks at what they say, where a backend uses them."""
    if value is not None and not isinstance(value, (list, tuple)):
        raise UsageError(f"{name}: mlx_rdma: want a list of devices, one per rank, not {value!r}")
    return tuple(list(entry) if isinstance(entry, (list, tuple)) else entry for entry in value or ())


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


def rank_addresses(host: HostSettings, rank: int, resolve: Resolve, wanted: str = ALL) -> tuple[str, ...]:
    """Return where a rank listens; nothing when the backend need not know and it cannot be told.

    Args:
        host: the rank's host.
        rank: its number.
        resolve: as for `ring_addresses`.
        wanted: whose addresses the backend uses: those of ALL ranks, of the FIRST, or of NONE.
    """
    needed = wanted == ALL or (wanted == FIRST and rank == 0)
    try:
        return ring_addresses(host, resolve if needed or rank == 0 else _no_names)
    except UsageError:
        if needed:
            raise
        return ()


def _no_names(_name: str) -> list[str]:
    """Resolve nothing: what need not be known is not worth a wait for it."""
    return []


def places(hosts: Sequence[HostSettings], resolve: Resolve, wanted: str = ALL) -> list[Place]:
    """Return where each rank will be, in rank order: hosts in order, each with its slots in a row."""
    found: list[Place] = []
    for host in hosts:
        found += [Place(host.name, rank_addresses(host, len(found), resolve, wanted), host.rdma)] * host.slots
    return found


@dataclass(frozen=True)
class JobPlan:
    """A job as it will run: its rank table, what each host is told, the RDMA devices, a row per rank, what mpirun is called with,
    and how a range of ports is found."""

    table: RankTable
    specs: Mapping[str, dict[str, Any]]
    rdma: Sequence[Sequence[Any]] = ()
    mpi: MpiJob | None = None
    ports: PortRange | None = None


def plan_job(
    job: str,
    settings: JobSettings,
    hosts: Sequence[HostSettings],
    rank_places: Sequence[Place],
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
        rank_places: where each rank will be.
        default_python, default_cwd: for hosts that name none.
        terminal: (columns, lines), when known.
        deployed: what was brought to the hosts: where it has something, that counts.
    """
    deployed = deployed or Deployed()
    script = deployed.script or settings.script
    by_name = {host.name: host for host in hosts}
    backend = settings.backend
    if settings.starting_port is None:
        return _plan_ports(
            job,
            lambda base: plan_job(
                job,
                replace(settings, starting_port=base),
                hosts,
                rank_places,
                default_python=default_python,
                default_cwd=default_cwd,
                terminal=terminal,
                deployed=deployed,
            ),
        )
    if backend == "mpi":
        rank_places = grouped(rank_places)
    taken = settings.nccl_port if backend == "nccl" else 0
    table = build_rank_table(
        [(place.host, place.ips) for place in rank_places], settings.starting_port, settings.connections_per_ip, listeners(backend), taken
    )
    rdma = [place.rdma for place in rank_places]
    needs = job_needs(backend, table, Wishes(settings.starting_port, settings.nccl_port, rdma, settings.verbose))
    modules = watching_modules(backend, table.world_size)
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
            "addresses": list(needs.own.get(name, ())) if table.world_size > 1 else [],
            "listen": list(needs.listen.get(name, ())) if table.world_size > 1 else [],
            "shifts": [0],
            "port_flag": needs.port_flag,
            "devices": devices(host.env, name, len(ranks)) if backend == "nccl" else [],
            "grace": settings.grace,
            "lease": settings.lease,
            # Once per host: as many ranks as there may be, what is sent grows with their number and not with its square.
            "files": dict(needs.files),
            "modules": modules,
            "ranks": [
                {"rank": rank.rank, "argv": argv, "env": plan_rank(rank, table, backend, needs, host.env, terminal)} for rank in ranks
            ],
        }
    mpi = _mpi_job(job, settings, table, by_name, specs) if backend == "mpi" else None
    return JobPlan(table, specs, rdma, mpi)


def _plan_ports(job: str, replan: Callable[[int], JobPlan]) -> JobPlan:
    """Return the plan with the first of several ranges of ports, every host being asked for all of them."""
    first = replan(_ANY_PORT)
    if not any(spec["listen"] and spec["port_flag"] == PORT_FLAG for spec in first.specs.values()):
        return first  # nobody listens, or on a port that is told otherwise
    # One more, for MASTER_PORT.
    width = len([address for rank in first.table.ranks for address in rank.listen]) + 2
    found = PortRange(ranges(job, width), replan)
    plan = replan(found.bases[0])
    for spec in plan.specs.values():
        spec["shifts"] = found.shifts
    return replace(plan, ports=found)


def grouped(rank_places: Sequence[Place]) -> list[Place]:
    """Return the places with those of a host after each other, as mpirun numbers ranks and mlx.launch calls it."""
    order = list(dict.fromkeys(place.host for place in rank_places))
    return sorted(rank_places, key=lambda place: order.index(place.host))


def _mpi_job(
    job: str, settings: JobSettings, table: RankTable, hosts: Mapping[str, HostSettings], specs: Mapping[str, dict[str, Any]]
) -> MpiJob:
    """Return what mpirun is called with, and have every host look for it."""
    python = specs[table.hosts[0]]["python"]
    where = candidates(settings.mpirun, python)
    for spec in specs.values():
        spec["mpi"] = {"candidates": where, "stand_in": stand_in()}
    addresses = {host: hosts[host].address for host in table.hosts}
    return MpiJob(job, table, labels(table, addresses, settings.mpi_agent), where, settings.mpi_args, python, settings.mpi_agent)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a job: from settings and hosts to the specification that each host gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...module_utils.lead.rank_table import RankTable
from ...module_utils.shared.spec import HostSpec, MpiSpec, RankSpec
from ..backends.backends import (
    PORT_FLAG,
    BackendOptions,
    BackendRequirements,
    backend_requirements,
    devices,
    listeners,
    plan_rank,
    watching_modules,
)
from ..job.deployed import Deployed
from ..job.host_settings import HostSettings
from ..job.host_sources import HostSources
from ..job.rank_table import RankPlace, build_rank_table
from ..job.settings import JobSettings
from .late import Late
from .port_range import FIRST as _ANY_PORT
from .port_range import PortRange, ranges

if TYPE_CHECKING:
    from ...module_utils.lead.mpi_job import MpiJob


@dataclass(frozen=True)
class JobPlan:
    """A job as it will run.

    Attributes:
        table: its ranks.
        specs: the specification of each host.
        rdma: RDMA devices, a row per rank.
        mpi: the call of mpirun, None for the other backends.
        late: the decisions that wait for the hosts' facts, None when there are none.
    """

    table: RankTable
    specs: Mapping[str, HostSpec]
    rdma: Sequence[Sequence[Any]] = ()
    mpi: MpiJob | None = None
    late: Late[JobPlan] | None = None


def plan_job(  # noqa: PLR0913 - a job has that many sides
    job: str,
    settings: JobSettings,
    hosts: Sequence[HostSettings],
    rank_places: Sequence[RankPlace],
    *,
    sources: HostSources,
    default_python: str,
    default_cwd: str,
    terminal: tuple[int, int] | None = None,
    deployed: Deployed | None = None,
) -> JobPlan:
    """Return the plan of a job.

    Args:
        job: its id.
        settings: those of the job.
        hosts: the settings of each host.
        rank_places: the place of each rank.
        sources: texts of the programs that run beside ranks.
        default_python, default_cwd: for hosts that name none.
        terminal: (columns, lines), when known.
        deployed: paths of the deploy, which win over those of the settings.
    """
    inputs = _Inputs(job, settings, hosts, rank_places, sources, default_python, default_cwd, terminal, deployed or Deployed())
    return _plan_late(inputs) if settings.starting_port is None or inputs.asked else _plan(inputs, settings.starting_port)


@dataclass(frozen=True)
class _Inputs:
    """Everything that a plan depends on; see `plan_job`."""

    job: str
    settings: JobSettings
    hosts: Sequence[HostSettings]
    places: Sequence[RankPlace]
    sources: HostSources
    default_python: str
    default_cwd: str
    terminal: tuple[int, int] | None
    deployed: Deployed

    @property
    def asked(self) -> dict[str, str]:
        """By host that is asked for its address, the one that stands for it."""
        return {place.host: place.ips[0] for place in self.places if place.asked}

    def at(self, addresses: Mapping[str, str]) -> _Inputs:
        """Return them with the addresses that hosts have told; a host without any is alone."""
        return replace(self, places=with_addresses(self.places, {host: address or "127.0.0.1" for host, address in addresses.items()}))


def _plan(inputs: _Inputs, starting_port: int) -> JobPlan:
    settings, backend = inputs.settings, inputs.settings.backend
    places = grouped(inputs.places) if backend == "mpi" else inputs.places
    addresses = [(place.host, place.ips) for place in places]
    taken = settings.nccl_port if backend == "nccl" else 0
    table = build_rank_table(addresses, starting_port, settings.connections_per_ip, listeners(backend), taken)
    rdma = [place.rdma for place in places]
    needs = backend_requirements(backend, table, BackendOptions(starting_port, settings.nccl_port, rdma, settings.verbose))
    by_name = {host.name: host for host in inputs.hosts}
    specs = {name: _host_spec(inputs, table, needs, by_name[name], index) for index, name in enumerate(table.hosts)}
    plan = JobPlan(table, specs, rdma)
    return _with_mpi(plan, inputs.job, settings, by_name, inputs.sources.mpi_shim) if backend == "mpi" else plan


def _host_spec(inputs: _Inputs, table: RankTable, needs: BackendRequirements, host: HostSettings, index: int) -> HostSpec:
    """Return the specification of one host, the one of number `index`."""
    settings, deployed = inputs.settings, inputs.deployed
    script = deployed.script or settings.script
    python = deployed.python or settings.python or host.python or inputs.default_python
    ranks, alone = table.of_host(host.name), table.world_size == 1
    return HostSpec(
        job=inputs.job,
        index=index,
        python="" if settings.command else python,
        script=script,
        command=settings.command[0] if settings.command else "",
        cwd=settings.cwd,
        # With its directory around it, a script expects to be run there.
        default_cwd=(settings.project_dir and deployed.project) or inputs.default_cwd,
        root=deployed.root,
        trust_owner=settings.trust_owner,
        local=host.local,
        hold=tuple(deployed.held),
        addresses=() if alone else tuple(needs.own.get(host.name, ())),
        listen=() if alone else tuple(needs.listen.get(host.name, ())),
        reached=inputs.asked.get(host.name, ""),
        shifts=(0,),
        port_flag=needs.port_flag,
        devices=tuple(devices(host.env, host.name, len(ranks))) if settings.backend == "nccl" else (),
        grace=settings.grace,
        lease=settings.lease,
        # Once per host: there may be many ranks, and the size of a spec grows with their number and not with its square.
        files=dict(needs.files),
        modules=watching_modules(settings.backend, table.world_size, inputs.sources),
        ranks=_rank_specs(inputs, table, needs, host, settings.command or (python, script, *settings.args)),
    )


def _rank_specs(
    inputs: _Inputs, table: RankTable, needs: BackendRequirements, host: HostSettings, argv: Sequence[str]
) -> tuple[RankSpec, ...]:
    envs = [
        (rank.rank, plan_rank(rank, table, inputs.settings.backend, needs, host.env, inputs.terminal)) for rank in table.of_host(host.name)
    ]
    return tuple(RankSpec(rank=rank, argv=tuple(argv), env=env) for rank, env in envs)


def _plan_late(inputs: _Inputs) -> JobPlan:
    """Return the plan that hosts are asked about, with stand-ins for addresses and the first of several port ranges."""
    ports = _ports(inputs) if inputs.settings.starting_port is None else None
    base = ports.bases[0] if ports else inputs.settings.starting_port or _ANY_PORT

    def replan(shift: int, addresses: Mapping[str, str]) -> JobPlan:
        return _plan(inputs.at(addresses), base + shift)

    plan = _plan(inputs, base)
    if not ports and not inputs.asked:
        return plan
    shifts = tuple(ports.shifts) if ports else (0,)
    specs = {host: spec.replace(shifts=shifts) for host, spec in plan.specs.items()}
    return replace(plan, specs=specs, late=Late(inputs.asked, ports, replan))


def _ports(inputs: _Inputs) -> PortRange | None:
    """Return the ranges of ports to ask every host for, None when nobody listens, or on a port of another setting."""
    first = _plan(inputs, _ANY_PORT)
    if not any(spec.listen and spec.port_flag == PORT_FLAG for spec in first.specs.values()):
        return None
    # One more, for MASTER_PORT.
    width = len([address for rank in first.table.ranks for address in rank.listen]) + 2
    return PortRange(ranges(inputs.job, width))


def with_addresses(rank_places: Sequence[RankPlace], told: Mapping[str, str]) -> list[RankPlace]:
    """Return the places with the addresses that hosts have told, by host."""
    return [place._replace(ips=(told[place.host],), asked=False) if place.asked and place.host in told else place for place in rank_places]


def grouped(rank_places: Sequence[RankPlace]) -> list[RankPlace]:
    """Return the places with those of a host after each other, as mpirun numbers ranks and mlx.launch calls it."""
    order = list(dict.fromkeys(place.host for place in rank_places))
    return sorted(rank_places, key=lambda place: order.index(place.host))


def _with_mpi(plan: JobPlan, job: str, settings: JobSettings, hosts: Mapping[str, HostSettings], source: str) -> JobPlan:
    """Return the plan with the call of mpirun, for which every host looks."""
    # Late: the other backends do without, and importing it costs a launch some milliseconds.
    from ...module_utils.lead.mpi_job import MpiJob
    from ..backends.mpi import candidates, labels, runnable

    shim = runnable(source)
    table = plan.table
    python = plan.specs[table.hosts[0]].python
    where = candidates(settings.mpirun, python)
    addresses = {host: hosts[host].address for host in table.hosts}
    mpi = MpiJob(job, table, labels(table, addresses, settings.mpi_agent), where, settings.mpi_args, python, settings.mpi_agent, shim)
    part = MpiSpec(candidates=tuple(where), shim=shim)
    return replace(plan, specs={host: spec.replace(mpi=part) for host, spec in plan.specs.items()}, mpi=mpi)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that each backend requires of a rank. Pure.

Source: mlx/_distributed_utils/launch.py, 0.32.4. The requirements of a backend are one entry of `_BACKENDS`. MLX
silently falls back to a world of one when a variable is missing or wrong. Hence they are set last, and a user's
variable of the same name does not count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...module_utils.lead.rank_table import Rank, RankTable
from ..job.errors import UsageError
from ..job.host_sources import HostSources
from ..job.rank_table import ALL, FIRST, NONE
from .rdma import Matrix, check_rdma

_DEVICES = "CUDA_VISIBLE_DEVICES"


#: The option that moves the ports of most backends.
PORT_FLAG = "--starting-port"


@dataclass(frozen=True)
class BackendOptions:
    """The input of a backend besides the rank table: settings, and the RDMA devices, a row per rank."""

    starting_port: int = 32323
    nccl_port: int = 12345
    rdma: Matrix = ()
    verbose: bool = False


@dataclass(frozen=True)
class BackendRequirements:
    """The requirements of a backend, beyond the variables of every rank.

    Attributes:
        env: variables, the same for all ranks.
        files: files that all ranks read, by the name of the variable that tells a rank where.
        own: by host, addresses that have to be its own.
        listen: by host, ("ip:port", ...) that have to be free there.
        port_flag: the option that changes these ports.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Sequence[str]] = field(default_factory=dict)
    listen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    port_flag: str = PORT_FLAG


def watching_modules(backend: str, world_size: int, sources: HostSources) -> dict[str, str]:
    """Return modules, by file name, that make a rank fail whose world became one rank; none for a world of one."""
    if world_size == 1:
        return {}
    hook = f"{sources.sitecustomize_hook}\n\nmain({backend!r}, {world_size})\n"
    return {"sitecustomize.py": hook, "watch.py": sources.init_guard}


def listeners(backend: str) -> str:
    """Return the ranks whose addresses the backend uses: ALL, the FIRST, or NONE."""
    return {"ring": ALL, "mpi": NONE}.get(backend, FIRST)


def backend_requirements(backend: str, table: RankTable, options: BackendOptions) -> BackendRequirements:
    """Return the requirements of a backend for a job, or raise UsageError when they cannot be met."""
    return _BACKENDS[backend](table, options)


def plan_rank(
    rank: Rank,
    table: RankTable,
    backend: str,
    needs: BackendRequirements,
    user_env: Mapping[str, str],
    terminal: tuple[int, int] | None = None,
) -> dict[str, str]:
    """Return the variables a rank is started with.

    Args:
        rank: the rank.
        table: the whole job.
        backend: name of the backend.
        needs: its requirements; see `backend_requirements`.
        user_env: the user's variables; they win over our conveniences and lose to the backend's requirements.
        terminal: (columns, lines) of the terminal the job is watched on, when known.
    """
    env = {"PYTHONUNBUFFERED": "1"}
    if terminal:
        env |= {"COLUMNS": str(terminal[0]), "LINES": str(terminal[1])}
    return env | dict(user_env) | reserved_env(rank, table, backend, needs, user_env)


def reserved_env(rank: Rank, table: RankTable, backend: str, needs: BackendRequirements, user_env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a rank that nobody can replace."""
    env = _identity(rank, table) | dict(needs.env)
    if backend == "nccl":
        env[_DEVICES] = devices(user_env, rank.host, rank.local_size)[rank.local_rank]
    return env


def _identity(rank: Rank, table: RankTable) -> dict[str, str]:
    return {
        "MLX_RANK": str(rank.rank),
        "RANK": str(rank.rank),
        "WORLD_SIZE": str(table.world_size),
        "LOCAL_RANK": str(rank.local_rank),
        "LOCAL_WORLD_SIZE": str(rank.local_size),
        "MASTER_ADDR": table.master,
        # For programs that open a store of their own: a port the backend leaves free.
        "MASTER_PORT": str(table.next_port),
    }


# -- what each backend needs


def _ring(table: RankTable, options: BackendOptions) -> BackendRequirements:
    return BackendRequirements(
        env={"MLX_RING_VERBOSE": "1"} if options.verbose else {},
        # Not for a world of one: MLX 0.32.4 fails at the empty file that mlx.launch gives it then.
        files={"MLX_HOSTFILE": table.ring_hostfile()} if table.world_size > 1 else {},
        own={host: sorted({ip for rank in table.of_host(host) for ip in rank.ips}) for host in table.hosts},
        listen={host: [address for rank in table.of_host(host) for address in rank.listen] for host in table.hosts},
    )


def _mpi(_table: RankTable, _options: BackendOptions) -> BackendRequirements:
    """Everything comes from mpirun, and from the host, which knows where its libmpi is."""
    return BackendRequirements()


def _jaccl(table: RankTable, options: BackendOptions) -> BackendRequirements:
    return _jaccl_as("jaccl", table, options, {})


def _jaccl_ring(table: RankTable, options: BackendOptions) -> BackendRequirements:
    return _jaccl_as("jaccl-ring", table, options, {"MLX_JACCL_RING": "1"})


def _jaccl_as(backend: str, table: RankTable, options: BackendOptions, env: Mapping[str, str]) -> BackendRequirements:
    check_rdma(options.rdma, [rank.host for rank in table.ranks], backend)
    coordinator = f"{table.master}:{options.starting_port}"
    return BackendRequirements(
        env={"MLX_JACCL_COORDINATOR": coordinator, **env},
        files={"MLX_IBV_DEVICES": json.dumps([list(row) for row in options.rdma])},
        own={table.hosts[0]: [table.master]},
        listen={table.hosts[0]: [coordinator]},
    )


def _nccl(table: RankTable, options: BackendOptions) -> BackendRequirements:
    env = {"NCCL_HOST_IP": table.master, "NCCL_PORT": str(options.nccl_port), "MLX_WORLD_SIZE": str(table.world_size)}
    return BackendRequirements(
        env=env | ({"NCCL_DEBUG": "INFO"} if options.verbose else {}),
        own={table.hosts[0]: [table.master]},
        # Rank 0 listens on all addresses (bootstrap_unique_id in mlx/distributed/nccl/nccl.cpp).
        listen={table.hosts[0]: [f"0.0.0.0:{options.nccl_port}"]},
        port_flag="--nccl-port",
    )


_BACKENDS: dict[str, Callable[[RankTable, BackendOptions], BackendRequirements]] = {
    "ring": _ring,
    "mpi": _mpi,
    "nccl": _nccl,
    "jaccl": _jaccl,
    "jaccl-ring": _jaccl_ring,
}


# -- CUDA devices, of which each rank of a host gets one


def devices(user_env: Mapping[str, str], host: str, ranks: int) -> list[str]:
    """Return the CUDA device of each rank of a host: by number, or those that the user's CUDA_VISIBLE_DEVICES lists.

    Raises:
        UsageError: it lists fewer than there are ranks.
    """
    chosen = [name.strip() for name in user_env.get(_DEVICES, "").split(",") if name.strip()]
    if chosen and len(chosen) < ranks:
        raise UsageError(f"{host}: {ranks} ranks, and {_DEVICES} lists {len(chosen)} devices; with nccl each rank needs one")
    return chosen[:ranks] or [str(number) for number in range(ranks)]

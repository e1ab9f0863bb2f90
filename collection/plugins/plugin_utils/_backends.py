# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what each backend needs in a rank's environment. Pure.

Source: mlx/_distributed_utils/launch.py, 0.32.4. What a backend needs is one entry of `_BACKENDS`. A variable
that is missing or wrong makes MLX fall back to a world of one without a word, hence they are set last and a user's
variable of the same name does not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ._errors import UsageError
from ._ranktable import ALL, FIRST, NONE, Rank, RankTable
from ._rdma import Matrix, check_rdma

#: Nobody says which: what a hostfile says, else what mlx.launch would take.
AUTO = "auto"
# The names mlx.launch 0.32 knows, and which of them this version starts.
KNOWN = ("ring", "mpi", "nccl", "jaccl", "jaccl-ring")
SUPPORTED = ("ring", "mpi", "nccl", "jaccl", "jaccl-ring")

_DEVICES = "CUDA_VISIBLE_DEVICES"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


#: What moves the ports of most backends.
PORT_FLAG = "--starting-port"


@dataclass(frozen=True)
class Wishes:
    """What a backend has to know besides the rank table: settings, and the RDMA devices, a row per rank."""

    starting_port: int = 32323
    nccl_port: int = 12345
    rdma: Matrix = ()
    verbose: bool = False


@dataclass(frozen=True)
class Needs:
    """What a backend needs, beyond what every rank has.

    Attributes:
        env: variables, the same for all ranks.
        files: files that all ranks read, by the name of the variable that tells a rank where.
        own: by host, addresses that have to be its own.
        listen: by host, ("ip:port", ...) that have to be free there.
        port_flag: what changes these ports.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Sequence[str]] = field(default_factory=dict)
    listen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    port_flag: str = PORT_FLAG


def check_backend(name: str, where: str = "") -> str:
    """Return the backend's name, or raise UsageError listing those there are, beginning with `where`."""
    if name in (AUTO, *SUPPORTED):
        return name
    if name in KNOWN:
        raise UsageError(f"{where}backend {name!r} is not supported yet; this version starts: {', '.join(SUPPORTED)}")
    raise UsageError(f"{where}unknown backend {name!r}; this version starts: {', '.join(SUPPORTED)}")


def check_env(env: Mapping[Any, object], where: str = "--env") -> dict[str, str]:
    """Return `env` with its values as text, or raise UsageError for a name no environment can hold."""
    checked = {}
    for name, value in env.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise UsageError(f"{where}: {name!r} is not a valid name: letters, digits and _ only, no digit first")
        # YAML's yes is True, and MLX reads "True" as 0: only the user knows which text is meant.
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise UsageError(f"{where}: the value of {name} is {value!r}; want text, in quotes")
        text = str(value)
        if "\0" in text:
            raise UsageError(f"{where}: the value of {name} contains a NUL byte")
        checked[name] = text
    return checked


def parse_env(items: Iterable[str], where: str = "--env") -> dict[str, str]:
    """Return the variables that "NAME=VALUE" items set; the last of a name counts, and a name alone is empty, as for mlx.launch."""
    env = {}
    for at, item in enumerate(items, 1):
        name, equals, value = item.partition("=")
        if not equals and not _NAME.match(item):
            # It is not shown: it may be a secret whose name was forgotten.
            raise UsageError(f"{where}: item {at}: want NAME=VALUE")
        env[name] = value
    return check_env(env, where)


def watching_modules(backend: str, world_size: int) -> dict[str, str]:
    """Return the modules, by file name, that make a rank fail whose world silently became one rank; none for a world of one."""
    if world_size == 1:
        return {}
    start, watch = (_source(name) for name in ("_rank_start", "_rank_watch"))
    return {"sitecustomize.py": f"{start}\n\nmain({backend!r}, {world_size})\n", "watch.py": watch}


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent.parent / f"module_utils/{name}.py").read_text(encoding="utf-8")


def listeners(backend: str) -> str:
    """Return whose addresses the backend uses: those of ALL ranks, of the FIRST, or of NONE."""
    return {"ring": ALL, "mpi": NONE}.get(backend, FIRST)


def job_needs(backend: str, table: RankTable, wishes: Wishes) -> Needs:
    """Return what a backend needs for a job, or raise UsageError when it cannot have it."""
    return _BACKENDS[backend](table, wishes)


def plan_rank(
    rank: Rank, table: RankTable, backend: str, needs: Needs, user_env: Mapping[str, str], terminal: tuple[int, int] | None = None
) -> dict[str, str]:
    """Return the variables a rank is started with.

    Args:
        rank: the rank.
        table: the whole job.
        backend: how its ranks talk to each other.
        needs: what that needs; see `job_needs`.
        user_env: what the user asked for; wins over our conveniences, loses to what the backend needs.
        terminal: (columns, lines) of the terminal the job is watched on, when known.
    """
    env = {"PYTHONUNBUFFERED": "1"}
    if terminal:
        env |= {"COLUMNS": str(terminal[0]), "LINES": str(terminal[1])}
    return env | dict(user_env) | declared(rank, table, backend, needs, user_env)


def declared(rank: Rank, table: RankTable, backend: str, needs: Needs, user_env: Mapping[str, str]) -> dict[str, str]:
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


def _ring(table: RankTable, wishes: Wishes) -> Needs:
    return Needs(
        env={"MLX_RING_VERBOSE": "1"} if wishes.verbose else {},
        # Not for a world of one: MLX 0.32.4 fails at the empty file that mlx.launch gives it then.
        files={"MLX_HOSTFILE": table.ring_hostfile()} if table.world_size > 1 else {},
        own={host: sorted({ip for rank in table.of_host(host) for ip in rank.ips}) for host in table.hosts},
        listen={host: [address for rank in table.of_host(host) for address in rank.listen] for host in table.hosts},
    )


def _mpi(_table: RankTable, _wishes: Wishes) -> Needs:
    """Everything comes from mpirun, and from the host, which knows where its libmpi is."""
    return Needs()


def _jaccl(table: RankTable, wishes: Wishes) -> Needs:
    return _jaccl_as("jaccl", table, wishes, {})


def _jaccl_ring(table: RankTable, wishes: Wishes) -> Needs:
    return _jaccl_as("jaccl-ring", table, wishes, {"MLX_JACCL_RING": "1"})


def _jaccl_as(backend: str, table: RankTable, wishes: Wishes, env: Mapping[str, str]) -> Needs:
    check_rdma(wishes.rdma, [rank.host for rank in table.ranks], backend)
    coordinator = f"{table.master}:{wishes.starting_port}"
    return Needs(
        env={"MLX_JACCL_COORDINATOR": coordinator, **env},
        files={"MLX_IBV_DEVICES": json.dumps([list(row) for row in wishes.rdma])},
        own={table.hosts[0]: [table.master]},
        listen={table.hosts[0]: [coordinator]},
    )


def _nccl(table: RankTable, wishes: Wishes) -> Needs:
    env = {"NCCL_HOST_IP": table.master, "NCCL_PORT": str(wishes.nccl_port), "MLX_WORLD_SIZE": str(table.world_size)}
    return Needs(
        env=env | ({"NCCL_DEBUG": "INFO"} if wishes.verbose else {}),
        own={table.hosts[0]: [table.master]},
        # Rank 0 listens on all addresses (bootstrap_unique_id in mlx/distributed/nccl/nccl.cpp).
        listen={table.hosts[0]: [f"0.0.0.0:{wishes.nccl_port}"]},
        port_flag="--nccl-port",
    )


_BACKENDS: dict[str, Callable[[RankTable, Wishes], Needs]] = {
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

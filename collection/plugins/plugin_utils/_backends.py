# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what each backend needs in a rank's environment. Pure.

Source: mlx/_distributed_utils/launch.py, 0.32.4. A variable that is missing or wrong makes MLX fall back to a
world of one without a word, hence they are set last and a user's variable of the same name does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ._errors import UsageError
from ._ranktable import Rank, RankTable

# The names mlx.launch 0.32 knows, and which of them this version starts.
KNOWN = ("ring", "mpi", "nccl", "jaccl", "jaccl-ring")
SUPPORTED = ("ring", "mpi")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class RankPlan:
    """What one rank is started with: variables, and files whose path a variable of that name gets."""

    env: Mapping[str, str]
    files: Mapping[str, str]


def check_backend(name: str) -> str:
    """Return the backend's name, or raise UsageError listing those there are."""
    if name in SUPPORTED:
        return name
    if name in KNOWN:
        raise UsageError(f"backend {name!r} is not supported yet; this version starts: {', '.join(SUPPORTED)}")
    raise UsageError(f"unknown backend {name!r}; this version starts: {', '.join(SUPPORTED)}")


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
    """Return the variables that "NAME=VALUE" items set; the last of a name counts."""
    env = {}
    for at, item in enumerate(items, 1):
        name, equals, value = item.partition("=")
        if not equals:
            # Only what looks like a name is shown: the rest may be a secret whose name was forgotten.
            shown = repr(item) if _NAME.match(item) else f"item {at}"
            raise UsageError(f"{where}: {shown}: want NAME=VALUE")
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


def plan_rank(
    rank: Rank,
    table: RankTable,
    user_env: Mapping[str, str],
    *,
    backend: str = "ring",
    verbose: bool = False,
    terminal: tuple[int, int] | None = None,
) -> RankPlan:
    """Return what a rank of a ring job is started with.

    Args:
        rank: the rank.
        table: the whole job.
        user_env: what the user asked for; wins over our conveniences, loses to what the backend needs.
        verbose: let the ring say what it connects to.
        terminal: (columns, lines) of the terminal the job is watched on, when known.
    """
    env = {"PYTHONUNBUFFERED": "1"}
    if terminal:
        env |= {"COLUMNS": str(terminal[0]), "LINES": str(terminal[1])}
    env |= user_env
    env |= _identity(rank, table)
    if backend == "mpi":
        return RankPlan(env, {})
    if verbose:
        env["MLX_RING_VERBOSE"] = "1"
    return RankPlan(env, {"MLX_HOSTFILE": table.ring_hostfile()})


def _identity(rank: Rank, table: RankTable) -> dict[str, str]:
    first = table.ranks[0]
    return {
        "MLX_RANK": str(rank.rank),
        "RANK": str(rank.rank),
        "WORLD_SIZE": str(table.world_size),
        "LOCAL_RANK": str(rank.local_rank),
        "LOCAL_WORLD_SIZE": str(rank.local_size),
        "MASTER_ADDR": first.ips[0] if first.ips else first.host,
        # For programs that open a store of their own: a port the ring leaves free.
        "MASTER_PORT": str(table.next_port),
    }

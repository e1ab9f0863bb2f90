# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: which ranks have a standard input, and what kind. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..module_utils import _wire as wire
from ._errors import UsageError
from ._plan import JobPlan
from ._settings import JobSettings

ALL, NONE = "all", "none"


def takers(settings: JobSettings, default: str, world_size: int) -> tuple[int, ...]:
    """Return the ranks that read standard input.

    Args:
        settings: what the user wants.
        default: all or none, when that is nothing.
        world_size: number of ranks.

    Raises:
        UsageError: there is no such rank, or a terminal is wanted for more than one.
    """
    wanted = settings.stdin or (ALL if settings.tty else default)
    if wanted == NONE:
        return ()
    if wanted == ALL:
        if settings.tty and world_size > 1:
            raise UsageError(f"--tty: only one of {world_size} ranks can have the terminal; say which with --stdin RANK")
        return tuple(range(world_size))
    if int(wanted) >= world_size:
        raise UsageError(f"--stdin {wanted}: " + (f"the ranks are 0 to {world_size - 1}" if world_size > 1 else "the only rank is 0"))
    return (int(wanted),)


def takers_frame(ranks: Collection[int], *, tty: bool) -> bytes:
    """Return what tells the launching process who reads."""
    return wire.encode_json(wire.TAKERS, {"ranks": list(ranks), "tty": tty})


def with_stdin(plan: JobPlan, ranks: Collection[int], *, tty: bool, screen: tuple[int, int] | None, term: str) -> JobPlan:
    """Return the plan with a standard input for these ranks.

    Args:
        plan: the plan.
        ranks: see `takers`.
        tty: whether it is a terminal.
        screen: (columns, lines) of that, when known.
        term: its kind, as in TERM; empty when not known.
    """
    if not ranks:
        return plan
    specs = {}
    for host, spec in plan.specs.items():
        changed = [_with_stdin(rank, tty, screen, term) if rank["rank"] in ranks else rank for rank in spec["ranks"]]
        specs[host] = {**spec, "ranks": changed}
    return replace(plan, specs=specs)


def _with_stdin(rank: Mapping[str, Any], tty: bool, screen: tuple[int, int] | None, term: str) -> dict[str, Any]:
    if not tty:
        return {**rank, "stdin": "pipe"}
    # A terminal tells its size itself, also when it changes; what the environment says would hide that.
    size = {"COLUMNS": str(screen[0]), "LINES": str(screen[1])} if screen else {}
    env = {name: value for name, value in rank["env"].items() if size.get(name) != value}
    return {**rank, "stdin": "terminal", "screen": screen, "env": ({"TERM": term} if term else {}) | env}

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranks that have a standard input, and its kind. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...module_utils.shared import wire
from ...module_utils.shared.spec import RankSpec
from ..job.errors import UsageError
from ..job.settings import BY_NAME, JobSettings
from .plan import JobPlan

ALL, NONE = "all", "none"


def readers(settings: JobSettings, default: str, world_size: int) -> tuple[int, ...]:
    """Return the ranks that read standard input.

    Args:
        settings: those of the job.
        default: all or none, when the settings name no rank.
        world_size: number of ranks.

    Raises:
        UsageError: there is no such rank, or a terminal is wanted for more than one.
    """
    wanted = settings.stdin or (ALL if settings.tty else default)
    if wanted == NONE:
        return ()
    stdin, tty = BY_NAME["stdin"].shown, BY_NAME["tty"].shown
    if wanted == ALL:
        if settings.tty and world_size > 1:
            raise UsageError(f"{tty}: only one of {world_size} ranks can have the terminal; say which with {stdin} RANK")
        return tuple(range(world_size))
    if int(wanted) >= world_size:
        raise UsageError(f"{stdin} {wanted}: " + (f"the ranks are 0 to {world_size - 1}" if world_size > 1 else "the only rank is 0"))
    return (int(wanted),)


def readers_frame(ranks: Collection[int], *, tty: bool) -> bytes:
    """Return the frame by which the launching process learns the ranks that read."""
    return wire.encode_json(wire.READERS, {"ranks": list(ranks), "tty": tty})


def with_stdin(plan: JobPlan, ranks: Collection[int], *, tty: bool, screen: tuple[int, int] | None, term: str) -> JobPlan:
    """Return the plan with a standard input for these ranks.

    Args:
        plan: the plan.
        ranks: see `readers`.
        tty: whether it is a terminal.
        screen: (columns, lines) of the terminal, when known.
        term: kind of the terminal, as in TERM; empty when not known.
    """
    if not ranks:
        return plan
    specs = {}
    for host, spec in plan.specs.items():
        changed = tuple(_with_stdin(rank, tty, screen, term) if rank.rank in ranks else rank for rank in spec.ranks)
        specs[host] = spec.replace(ranks=changed)
    return replace(plan, specs=specs)


def _with_stdin(rank: RankSpec, tty: bool, screen: tuple[int, int] | None, term: str) -> RankSpec:
    if not tty:
        return rank.replace(stdin="pipe")
    # A terminal reports its size itself, also when it changes; variables would hide that.
    size = {"COLUMNS": str(screen[0]), "LINES": str(screen[1])} if screen else {}
    env = {name: value for name, value in rank.env.items() if size.get(name) != value}
    return rank.replace(stdin="terminal", screen=screen, env=({"TERM": term} if term else {}) | env)

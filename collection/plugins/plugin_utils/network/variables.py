# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that a plan gives each host, as files for an inventory. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..job.errors import UsageError
from .plan.plan import Plan

FILE = "mlx_network.yml"
#: First line of a file that is ours, and may be written again.
HEAD = "# Written by mlxlaunch network, which writes it again; put variables of your own into another file."


def variable_files(plan: Plan) -> dict[str, str]:
    """Return the text of each host's file by its path below the directory.

    Raises:
        UsageError: the ranks have another order than the inventory, which a host's variables cannot change.
    """
    if plan.order != tuple(range(len(plan.hosts))):
        names = ", ".join(plan.hosts[at].name for at in plan.order)
        raise UsageError(
            f"--output-vars: the ring goes {names}, and ranks follow the order of the inventory; "
            "put its hosts in that order, or use --output-hostfile"
        )
    return {f"{_folder(plan.hosts[at].name)}/{FILE}": _text(plan, rank) for rank, at in enumerate(plan.order)}


def _folder(name: str) -> str:
    if "/" in name or name in (".", "..") or "\0" in name:
        raise UsageError(f"--output-vars: host {name!r} cannot be the name of a directory")
    return name


def _text(plan: Plan, rank: int) -> str:
    values: Mapping[str, object] = {"mlx_ips": list(plan.ips[rank]), "mlx_rdma": list(plan.rdma[rank])}
    return "\n".join([HEAD, "---", *(f"{name}: {json.dumps(value)}" for name, value in values.items())]) + "\n"


def is_ours(text: str) -> bool:
    """Return whether a file's text is one of ours."""
    return text.startswith(HEAD + "\n")

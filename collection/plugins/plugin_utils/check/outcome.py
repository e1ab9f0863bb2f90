# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a check, as its event and the task's result have it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ..job.check_row import FAIL, WARN, Row
from .facts import HostFacts


def check_result(rows: Sequence[Row], cause: Cause | None, facts: Mapping[str, HostFacts]) -> dict[str, Any]:
    """Return the outcome of a check.

    Args:
        rows: one per host; none when it was ended early.
        cause: why it was ended early, or None.
        facts: of each host.
    """
    failing = [row.host for row in rows if row.status == FAIL]
    warned = [row.host for row in rows if row.status == WARN]
    if not cause and failing:
        cause = Cause("not_ready", EXIT_NOT_READY, f"{len(failing)} of {len(rows)} hosts not ready: {', '.join(failing)}")
    if not cause:
        doubts = f"; with warnings: {', '.join(warned)}" if warned else ""
        cause = Cause("ready", 0, f"all {len(rows)} hosts are ready{doubts}" if len(rows) != 1 else f"{rows[0].host} is ready{doubts}")
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "checks": [row.to_json() for row in rows],
        "facts": {host: _facts(found) for host, found in facts.items()},
    }


def _facts(host: HostFacts) -> dict[str, Any]:
    """Return a host's answers, without the output of programs, which cells tell."""
    return {name: value for name, value in host.found.items() if name != "reports"}

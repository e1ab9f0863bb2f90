# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a preparation, for Ansible and for programs that have started it. Pure."""

from __future__ import annotations

from typing import Any

from .result import Outcome
from .table import render


def prepare_result(outcome: Outcome) -> dict[str, Any]:
    """Return the result of a run that came to its end."""
    return {
        "returncode": outcome.returncode,
        "cause": "not_ready" if outcome.returncode else "prepared",
        "message": outcome.message,
        "prepare": outcome.to_json(),
        "text": render(outcome),
        "changed": outcome.changed,
        "diff": outcome.diff(),
    }


def stopped_result(returncode: int, cause: str, message: str, *, begun: bool) -> dict[str, Any]:
    """Return the result of a run that was ended early.

    Args:
        returncode: the exit status.
        cause: one word.
        message: one line for a person.
        begun: whether a host may have been changed.
    """
    half = "; hosts may have been changed, and mlxlaunch prepare --undo takes that back" if begun else ""
    return {
        "returncode": returncode,
        "cause": cause,
        "message": f"{message}{half}",
        "prepare": None,
        "text": "",
        "changed": begun,
        "diff": [],
    }

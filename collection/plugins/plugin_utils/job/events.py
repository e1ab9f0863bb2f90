# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of a job, and their kinds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The kinds of events; docs/events.schema.json describes each.
KINDS = (
    "job_started",
    "waiting",
    "note",
    "host_deployed",
    "host_ready",
    "host_environment",
    "host_refused",
    "warning",
    "rank_started",
    "rank_output",
    "rank_exited",
    "host_lost",
    "mpirun_said",
    "job_stopping",
    "job_finished",
    "job_planned",
    "job_refused",
    "deploy_finished",
    "check_finished",
    "network_finished",
    "prepare_finished",
    "contact_finished",
)
#: Kinds that are shown and never recorded: they have values of variables.
NOT_RECORDED = ("host_environment",)
_COMMON = ("event", "job", "time", "host", "rank")


@dataclass(frozen=True)
class Event:
    """One thing that happened; docs/events.schema.json describes each kind.

    Attributes:
        event: its kind: job_started, host_ready, rank_started, rank_output, rank_exited, job_finished, and more.
        job: the job's id.
        time: seconds since 1970, by the controller's clock.
        host: inventory name, or None.
        rank: number, or None.
        data: the bytes of a rank_output, exactly as the rank wrote them.
        details: all other fields, by name.
    """

    event: str
    job: str
    time: float
    host: str | None
    rank: int | None
    data: bytes = b""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], data: bytes = b"") -> Event:
        """Return the event that a line of events.jsonl describes."""
        common = {name: fields.get(name) for name in _COMMON}
        details = {name: value for name, value in fields.items() if name not in _COMMON}
        return cls(**common, data=data, details=details)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a line of events.jsonl has them, without `data`."""
        return {"event": self.event, "job": self.job, "time": self.time, "host": self.host, "rank": self.rank, **self.details}

    @property
    def stream(self) -> str | None:
        """`stdout` or `stderr` of a rank_output, else None."""
        return self.details.get("stream")

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions of a policy, for the driver of the job: frames to send, channels to close and open, events to emit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union


@dataclass(frozen=True)
class Send:
    """Send a frame to a host."""

    host: str
    kind: int
    message: Any = None


@dataclass(frozen=True)
class Close:
    """Close a host's channel, and end the local process behind it."""

    host: str


@dataclass(frozen=True)
class Recover:
    """Open a new channel to a host whose earlier one broke."""

    host: str


@dataclass(frozen=True)
class Emit:
    """Emit an event to the sinks."""

    event: str
    host: str | None = None
    rank: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Miss:
    """Warn that the rest of a host's output will not come, with the offsets up to which it has come."""

    host: str
    text: str


Action = Union[Send, Close, Recover, Emit, Miss]


class Outbox:
    """The actions that wait to be carried out, in order."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def take(self) -> list[Action]:
        """Return the actions since the last call."""
        actions, self._actions = self._actions, []
        return actions

    def add(self, *actions: Action) -> None:
        """Add actions as they are."""
        self._actions += actions

    def send(self, host: str, kind: int, message: Any = None) -> None:
        """Add a frame for a host."""
        self._actions.append(Send(host, kind, message))

    def emit(self, event: str, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        """Add an event."""
        self._actions.append(Emit(event, host, rank, details))

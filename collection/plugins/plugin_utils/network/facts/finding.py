# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings about a network: what is wrong or doubtful, where, and the next step. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FAIL, WARN, NOTE = "fail", "warn", "note"


@dataclass(frozen=True)
class Finding:
    """One thing to know about a host, or about the network as a whole.

    Attributes:
        level: FAIL for what stands in the way of the plan, WARN for what may, NOTE for what is good to know.
        kind: its name for programs; docs/network.md has all of them.
        text: one or two sentences for a person, with the next step.
        host: inventory name, or empty.
        interface: of the host, or empty.
    """

    level: str
    kind: str
    text: str
    host: str = ""
    interface: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"level": self.level, "kind": self.kind, "host": self.host, "interface": self.interface, "text": self.text}

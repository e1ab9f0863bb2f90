# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a Mac, from what its own programs say. Pure.

A host has written the texts, so anything may be in them: what does not fit is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...module_utils.shared.prepare.firewall_state import ALLOW, firewall_state, parse_apps


@dataclass(frozen=True)
class MacSettings:
    """The settings that decide whether a Mac is there for a job. None: not known, or a Mac without it.

    Attributes:
        sleep: minutes without use after which it sleeps, on mains; 0 for never.
        restarts: whether it starts again after a power failure.
        filevault: whether FileVault is on.
        firewall: OFF, ON, or BLOCKS_ALL.
        apps: by path, whether the firewall lets it accept connections.
    """

    sleep: int | None = None
    restarts: bool | None = None
    filevault: bool | None = None
    firewall: int | None = None
    apps: Mapping[str, bool] = field(default_factory=dict)


def mac_settings(answers: Mapping[str, str]) -> MacSettings:
    """Return the settings that answers tell, see `module_utils/check/reports`."""
    power = _power(answers.get("power_settings.txt", ""))
    vault = re.search(r"^FileVault is (On|Off)\b", answers.get("filevault.txt", ""), re.MULTILINE)
    return MacSettings(
        sleep=power.get("sleep"),
        restarts=bool(power["autorestart"]) if "autorestart" in power else None,
        filevault=vault[1] == "On" if vault else None,
        firewall=firewall_state(answers.get("firewall.txt", "")),
        apps={path: decision == ALLOW for path, decision in parse_apps(answers.get("firewall_apps.txt", "")).items()},
    )


def _power(text: str) -> dict[str, int]:
    """Return the settings on mains of `pmset -g custom`, pmset(1)."""
    section = re.search(r"^AC Power:\n((?:[ \t].*\n?)*)", text, re.MULTILINE)
    found = re.findall(r"^\s+(\w+)\s+(\d{1,6})\b", section[1] if section else "", re.MULTILINE)
    return {name: int(value) for name, value in found}

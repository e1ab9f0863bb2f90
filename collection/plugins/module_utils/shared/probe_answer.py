# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line by which a probe, a small program run by some Python, answers."""

from __future__ import annotations

import json

SAID = "MLXLAUNCH "  # begins the line that a probe answers with; anything else is a warning of somebody's


def answer(text):
    """Return the answer that a probe printed, or None."""
    for line in reversed(text.splitlines()):
        if line.startswith(SAID):
            try:
                return json.loads(line[len(SAID) :])
            except ValueError:
                return None
    return None

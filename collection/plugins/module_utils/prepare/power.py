# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power settings of a Mac, as pmset(1) shows and sets them for mains power; the display may sleep."""

from __future__ import annotations

import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere

_SECTION = "AC Power:"


class Power:
    """Some settings with their values.

    Args:
        values: wanted ones by name; a Mac that lacks a setting needs none.
        reason: why it does not apply to a Mac that has none of them.
    """

    def __init__(self, values, reason):
        self._values = values
        self._reason = reason

    def read(self, host, _keys=None):
        """Return the settings."""
        shown = parse_custom(host.output("pmset", "-g", "custom"))
        found = {name: shown[name] for name in self._values if name in shown}
        if not found:
            raise NotHere(self._reason)
        return found

    def wanted(self, _host, now, _value):
        """Return the settings as they are to be."""
        return {name: self._values[name] for name in now}

    def steps(self, _host, now, wanted):
        """Return the steps from one to the other."""
        pairs = [word for name in now if now[name] != wanted[name] for word in (name, wanted[name])]
        return [Run("pmset", "-c", *pairs)] if pairs else []

    def describe(self, _host, settings):
        """Return settings as a phrase."""
        return ", ".join("%s %s" % pair for pair in settings.items())


def parse_custom(text):
    """Return {name: number as text} for mains power, from `pmset -g custom`, which has a section for each source."""
    found, here = {}, False
    for line in text.splitlines():
        if line and not line[0].isspace():
            here = line.strip() == _SECTION
        setting = re.match(r"\s+(\w+)\s+(\d+)(?:\s|$)", line)
        if here and setting:
            found[setting.group(1)] = setting.group(2)
    return found

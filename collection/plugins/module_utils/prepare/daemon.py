# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LaunchDaemons of ours that set something at each start of this Mac; see launchd.plist(5)."""

from __future__ import annotations

import plistlib
from xml.parsers.expat import ExpatError

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run, Write, read_file

FOLDER = "/Library/LaunchDaemons"
# What plistlib raises for files that are none.
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, ExpatError)


class Daemon:
    """The daemon of an item: it runs one program, when it is loaded and at each start.

    Args:
        item: name of the item.
        folder: where LaunchDaemons are.
    """

    def __init__(self, item, folder=FOLDER):
        self.label = "mlxlaunch.cluster.%s" % item.replace("_", "-")
        self.path = "%s/%s.plist" % (folder, self.label)

    def read(self):
        """Return its text in one form, "" when there is none."""
        data = read_file(self.path)
        try:
            return plistlib.dumps(plistlib.loads(data)).decode("utf-8") if data else ""
        except _DAMAGED:
            return "damaged"

    def text(self, argv):
        """Return the text of one that runs a program."""
        content = {"Label": self.label, "ProgramArguments": list(argv), "RunAtLoad": True}
        return plistlib.dumps(content).decode("utf-8")

    def words(self, text):
        """Return the words of the program that it runs, or nothing."""
        try:
            return [str(word) for word in plistlib.loads(text.encode("utf-8"))["ProgramArguments"]]
        except _DAMAGED:
            return []

    def steps(self, host, now, wanted):
        """Return the steps from one text to another; one that is there is loaded."""
        loaded = (now or wanted) and host.ask("launchctl", "print", "system/" + self.label)[0] == 0
        if now == wanted and (loaded or not wanted):
            return []
        found = [Run("launchctl", "bootout", "system/" + self.label)] if loaded else []
        if now != wanted:
            found.append(Write(self.path, wanted, self._by_hand(wanted)))
        return found + ([Run("launchctl", "bootstrap", "system", self.path)] if wanted else [])

    def _by_hand(self, text):
        values = (["Label", self.label], ["ProgramArguments", "-array", *self.words(text)], ["RunAtLoad", "-bool", "true"])
        return [["defaults", "write", self.path, *each] for each in values] + [["chmod", "644", self.path]]

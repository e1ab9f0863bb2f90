# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a Mac's application firewall, and its list of applications, as socketfilterfw shows them. Pure.

Its words differ between versions.
"""

from __future__ import annotations

import re

OFF, ON, BLOCKS_ALL = 0, 1, 2
ALLOW, BLOCK = "Allow", "Block"
_INSIDE = ".app/Contents/MacOS/"


def firewall_state(text):
    """Return OFF, ON or BLOCKS_ALL of `--getglobalstate --getblockall`; None when it is not told."""
    found = re.search(r"State = ([012])", text)
    if found and found.group(1) != str(ON):
        return int(found.group(1))
    if re.search("block all.* enabled", text, re.IGNORECASE):
        return BLOCKS_ALL
    return ON if found else None


def parse_apps(text):
    """Return {path: ALLOW or BLOCK} of `--listapps`."""
    pairs = re.findall(r"^\s*\d+\s*:\s*(/.*?)\s*\n\s*\(\s*(Allow|Block)\b", text, re.MULTILINE | re.IGNORECASE)
    return {path: word.capitalize() for path, word in pairs}


def listed_of(apps, programs):
    """Return the paths of a list that stand for some programs: their own, and those of their applications.

    A Python of a framework runs as the application Python.framework/Versions/3.12/Resources/Python.app. The list may
    have that, or the file within it.
    """
    found = [each for each in map(_application, programs) if each]
    return [path for path in apps if path in programs or path in found or path.startswith(tuple("%s/" % each for each in found))]


def _application(program):
    """Return the application that a program is in, or is started by when it is a Python; "" for any other."""
    if _INSIDE in program:
        return program.partition(_INSIDE)[0] + ".app"
    return "%s/Resources/Python.app" % program.rpartition("/bin/")[0] if "/bin/" in program else ""

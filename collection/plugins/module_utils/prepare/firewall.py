# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application firewall of a Mac, as its socketfilterfw shows and sets it; see `socketfilterfw -h`.

Its exit status tells nothing. So the list is read again after each change.
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.programs import find_program
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.firewall_state import (
    ALLOW,
    BLOCK,
    BLOCKS_ALL,
    OFF,
    firewall_state,
    listed_of,
    parse_apps,
)

PROGRAM = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_SHIM = "/usr/bin/python3"
_APP = "Resources/Python.app/Contents/MacOS/Python"
_OF_TOOLS = "Library/Frameworks/Python3.framework/Versions/Current"


class Firewall:
    """The ranks' Python in the list of applications; settings are {path as it is listed: Allow, Block or ""}."""

    def read(self, host, keys=None):
        """Return the settings: of the ranks' Python, or of paths that were recorded."""
        state = firewall_state(host.output(PROGRAM, "--getglobalstate", "--getblockall"))
        if keys is None and state == OFF:
            return {}
        if keys is None and state == BLOCKS_ALL:
            raise CallFailed("the firewall blocks all connections; turn that off in its options, in System Settings, Network")
        apps = parse_apps(host.output(PROGRAM, "--listapps"))
        return {path: _decision(apps, path) for path in (_wanted_paths(host, apps) if keys is None else keys)}

    def wanted(self, _host, now, _value):
        """Return the settings as they are to be."""
        return dict.fromkeys(now, ALLOW)

    def steps(self, _host, now, wanted):
        """Return the steps from one to the other."""
        found = []
        for path, before in now.items():
            if before == wanted[path]:
                continue
            if not wanted[path]:
                found.append(Run(PROGRAM, "--remove", path))
                continue
            found += [] if before else [Run(PROGRAM, "--add", path)]
            found.append(Run(PROGRAM, "--unblockapp" if wanted[path] == ALLOW else "--blockapp", path))
        return found

    def describe(self, _host, settings):
        """Return settings as a phrase."""
        words = {ALLOW: "allowed", BLOCK: "blocked", "": "not listed"}
        return ", ".join("%s %s" % (path, words[each]) for path, each in settings.items()) or "the firewall is off"


def _wanted_paths(host, apps):
    """Return the paths that are to be allowed: all that are listed for the ranks' Python, and the program that runs."""
    python = _python(host)
    path = os.path.realpath(python)
    program = executable(host, path)
    return listed_of(apps, (python, path, program)) + ([] if listed_of(apps, (program,)) else [program])


def _decision(apps, path):
    """Return what is decided about a path; a file that was added may be listed by its application."""
    listed = [path] if path in apps else listed_of(apps, (path,))
    return apps[listed[0]] if listed else ""


def _python(host):
    """Return the path of the ranks' Python.

    Raises:
        CallFailed: the Python is not there.
    """
    path = find_program(host.expand(host.python), "/") if host.python else ""
    if not path:
        shown = host.python.encode("utf-8", "replace").decode() or "none"
        raise CallFailed("%s is no Python of this host; name that of the ranks by its path: mlx_python, --python" % shown)
    return path


def executable(host, path):
    """Return the file that macOS sees as the program when a Python, by its real path, runs.

    A Python of a framework starts another one, in an application within it. /usr/bin/python3 starts that of the
    command line tools.
    """
    if path == _SHIM:
        status, tools = host.ask("xcode-select", "-p")
        places = [os.path.join(tools.strip(), each) for each in (os.path.join(_OF_TOOLS, _APP), "usr/bin/python3")] if not status else []
        path = next((os.path.realpath(each) for each in places if os.path.isfile(each)), path)
    application = os.path.join(os.path.dirname(os.path.dirname(path)), _APP)
    return application if os.path.isfile(application) else path

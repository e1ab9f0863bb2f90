# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host, as a preparation asks and changes it."""

from __future__ import annotations

import os
import pwd

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed

DARWIN, LINUX = "Darwin", "Linux"
_VARIABLES = ("hw.memsize", "iogpu.wired_limit_mb", "kern.maxfiles", "kern.maxfilesperproc", "kern.maxproc", "kern.maxprocperuid")


class NotHere(Exception):
    """An item does not apply to this host; the text says why."""


class Host:
    """Programs of this host; what one shows is kept until something changes.

    Args:
        agent: runs them.
        python: interpreter of the ranks, as the controller names it.
    """

    def __init__(self, agent, python=""):
        self._agent = agent
        self._shown = {}
        self.python = python
        self.system = DARWIN if machine.is_mac() else LINUX
        self.is_root = os.geteuid() == 0

    def ask(self, *argv):
        """Return (exit status, output) of a program that shows something."""
        if argv not in self._shown:
            self._shown[argv] = machine.run_shipped(self._agent.run, list(argv))
        return self._shown[argv]

    def output(self, *argv):
        """Return the output of a program that shows something.

        Raises:
            CallFailed: it failed, so nothing is known.
        """
        status, text = self.ask(*argv)
        if status:
            raise CallFailed(machine.reason(argv, status, text))
        return text

    def change(self, argv):
        """Run a program that changes something; return the reason of a failure, or an empty text."""
        self.changed()
        status, text = machine.run_shipped(self._agent.run, list(argv))
        return machine.reason(argv, status, text) if status else ""

    def changed(self):
        """Forget what programs have shown."""
        self._shown.clear()

    def variable(self, name):
        """Return a variable of a Mac's kernel as text, "" when there is none of that name."""
        _status, text = self.ask("sysctl", *_VARIABLES)  # one that is missing gives a status, and the others all the same
        return next((line[len(name) + 2 :].strip() for line in text.splitlines() if line.startswith(name + ": ")), "")

    def user(self):
        """Return (id, name) of the user who has connected, whoever this is now.

        sudo and doas tell him. Linux keeps him over su too, as the user who has logged in (see proc(5), loginuid).
        """
        uid = os.geteuid()
        if uid == 0:
            names = [os.environ.get("SUDO_UID", ""), _read("/proc/self/loginuid")]
            uid = next((int(name) for name in names if name.isdigit() and _name(int(name))), uid)
        return uid, _name(uid)

    def expand(self, path):
        """Return a path whose ~ stands for the home of that user."""
        return os.path.expanduser("~%s%s" % (self.user()[1], path[1:])) if path.startswith("~/") else path


def _read(path):
    try:
        with open(path, encoding="ascii") as source:
            return source.read().strip()
    except OSError:
        return ""


def _name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""  # the number that stands for nobody, for example

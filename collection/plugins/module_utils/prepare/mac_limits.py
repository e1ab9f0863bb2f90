# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a Mac: memory that its GPU may wire, open files, processes.

A restart forgets them; daemons of ours set them at each start.
"""

from __future__ import annotations

import math
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.daemon import Daemon
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.wired_limit import most_wired

_WIRED = "iogpu.wired_limit_mb"
_MIB = 1024 * 1024
_UNLIMITED = "unlimited"


class WiredLimit:
    """Memory that the GPU may wire: `iogpu.wired_limit_mb`, since macOS 14 on Apple silicon; 0 is the system's choice.

    Args:
        daemon: where it is not the usual one.
    """

    def __init__(self, daemon=None):
        self._daemon = daemon or Daemon("wired_limit")

    def read(self, host, _keys=None):
        """Return the settings."""
        value = host.variable(_WIRED)
        if not value:
            raise NotHere("this Mac has no %s: it is not Apple silicon, or older than macOS 14" % _WIRED)
        return {_WIRED: value, "daemon": self._daemon.read()}

    def wanted(self, host, now, value):
        """Return the settings with a limit in MB, or "auto" for the largest one."""
        memory = host.variable("hw.memsize")
        if not memory.isdigit():
            raise CallFailed("the size of its memory is not known, so no limit is safe")
        most = most_wired(int(memory) // _MIB)
        if value != "auto" and value > most:
            text = "%d MB leave the system too little of %d MB; want at most %d, or auto"
            raise CallFailed(text % (value, int(memory) // _MIB, most))
        limit = "%d" % (most if value == "auto" else value)
        return dict(now, **{_WIRED: limit, "daemon": self._daemon.text(["/usr/sbin/sysctl", "%s=%s" % (_WIRED, limit)])})

    def steps(self, host, now, wanted):
        """Return the steps from one to the other."""
        return self._daemon.steps(host, now["daemon"], wanted["daemon"]) + _sysctl(now, wanted, _WIRED)

    def describe(self, _host, settings):
        """Return settings as a phrase."""
        return "%s MB%s" % (settings[_WIRED], _at_start(settings))


class LaunchdLimit:
    """A limit that launchctl(1) sets for what it starts, sshd's sessions for example.

    Its two numbers are reported to become variables of the kernel too, which hold for all programs. So none is set
    below what they are.

    Args:
        item: name of the item.
        name: of the limit.
        each, total: names of the variables.
        fixed: whether nothing can go above the second one.
    """

    def __init__(self, item, name, each, total, fixed, daemon=None):
        self._name = name
        self._each = each
        self._total = total
        self._fixed = fixed
        self._daemon = daemon or Daemon(item)

    def read(self, host, _keys=None):
        """Return the settings."""
        found = re.search(r"^\s*%s\s+(\S+)\s+(\S+)" % self._name, host.output("launchctl", "limit", self._name), re.MULTILINE)
        variables = {name: host.variable(name) for name in (self._each, self._total)}
        if not found or not all(value.isdigit() for value in variables.values()):
            raise CallFailed("its limit %s is not known" % self._name)
        return {"limit": "%s %s" % found.groups(), **variables, "daemon": self._daemon.read()}

    def wanted(self, _host, now, value):
        """Return the settings with room for so many at least."""
        total = int(now[self._total])
        if self._fixed and value > total:
            raise CallFailed("asks for %d, and the kernel of this Mac has room for %d (%s)" % (value, total, self._total))
        if _number(now["limit"].split()[0]) >= value and (not now["daemon"] or self._at_start(now) >= value):
            return dict(now)
        each = max(value, int(now[self._each]))
        total = max(each, total)
        limit = ["%d" % each, "%d" % total]
        daemon = self._daemon.text(["/bin/launchctl", "limit", self._name, *limit])
        return {"limit": " ".join(limit), self._each: limit[0], self._total: limit[1], "daemon": daemon}

    def _at_start(self, settings):
        words = self._daemon.words(settings["daemon"])
        return _number(words[3]) if len(words) == 5 else 0

    def steps(self, host, now, wanted):
        """Return the steps from one to the other."""
        found = self._daemon.steps(host, now["daemon"], wanted["daemon"])
        if now["limit"] == wanted["limit"]:
            return found + _sysctl(now, wanted, self._each, self._total)
        soft, hard = wanted["limit"].split()
        found.append(Run("launchctl", "limit", self._name, soft, hard))
        # With two numbers the variables follow, with others they stay, or do not: then they are set in any case.
        follow = (
            {self._each: soft, self._total: hard} if soft.isdigit() and hard.isdigit() else dict.fromkeys((self._each, self._total), "")
        )
        return found + _sysctl(follow, wanted, self._each, self._total)

    def describe(self, _host, settings):
        """Return settings as a phrase."""
        return "%s%s" % (settings["limit"].replace(" ", ", at most "), _at_start(settings))


def _sysctl(now, wanted, *names):
    return [Run("sysctl", "%s=%s" % (name, wanted[name])) for name in names if now[name] != wanted[name]]


def _at_start(settings):
    return ", at each start too" if settings["daemon"] else ""


def _number(text):
    if text == _UNLIMITED:
        return math.inf
    return int(text) if text.isdigit() else 0

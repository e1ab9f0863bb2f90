# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a user's sessions on Linux, and whether his manager outlives them; limits.conf(5), loginctl(1)."""

from __future__ import annotations

import os
import resource

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import open_files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.steps import Run, Write, read_file
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed

FOLDER = "/etc/security/limits.d"
LINGER = "/var/lib/systemd/linger"
LATER = "counts for sessions that begin from now on; end open connections, those that ssh keeps too"


class SessionLimit:
    """A limit of sessions, by a file of ours that pam_limits(8) reads.

    Args:
        name: of the limit in that file.
        kind: its number in setrlimit(2).
        most: files with numbers of the kernel that it must not exceed: nobody could log in then.
    """

    def __init__(self, name, kind, most, folder=FOLDER):
        self._name = name
        self._kind = kind
        self._most = most
        self._folder = folder
        self._path = "%s/90-mlxlaunch-%s.conf" % (folder, name)

    def read(self, _host, _keys=None):
        """Return the settings."""
        if not os.path.isdir(self._folder):
            raise NotHere("this system has no %s; it sets limits in another way" % self._folder)
        return {"file": read_file(self._path).decode("utf-8", "replace")}

    def wanted(self, host, now, value):
        """Return the settings with room for so many at least; a session that has them already needs nothing."""
        most = min(_kernels(path) for path in self._most)
        if value > most:
            raise CallFailed("asks for %d, and the kernel of this host takes at most %d" % (value, most))
        soft, hard = _session(host, self._kind)
        if _enough(soft, value):
            return dict(now)
        # "-" sets both; a hard limit that is higher stays. The star does not stand for root.
        word = "soft" if _enough(hard, value) else "-"
        if word == "-" and host.is_root and not _may_raise(self._kind, value):
            text = "asks for %d; here root may not raise the hard limit of %s, as in a container: raise it where this system is started"
            raise CallFailed(text % (value, _text(hard)))
        text = "".join("%s %s %s %d\n" % (who, word, self._name, value) for who in ("*", "root"))
        return {"file": text} if text != now["file"] else dict(now)

    def steps(self, _host, now, wanted):
        """Return the steps from one to the other."""
        if now == wanted:
            return []
        words = wanted["file"].split()
        # By hand, too, only where root may raise it: pam_limits ends a login whose limits it cannot set.
        first = "prlimit --%s=%s true && " % (self._name, words[3]) if words[1:2] == ["-"] else ""
        line = "%sprintf '%s' > %s" % (first, wanted["file"].replace("\n", "\\n"), self._path)
        return [Write(self._path, wanted["file"], [["sh", "-c", line]])]

    def describe(self, host, settings):
        """Return settings as a phrase."""
        words = settings["file"].split()
        return "%s by %s" % (words[-1], self._path) if words else "%s as it is" % _text(_session(host, self._kind)[0])


def _kernels(path):
    try:
        with open(path, encoding="ascii") as source:
            return int(source.read())
    except (OSError, ValueError):
        return 2**31 - 1


def _enough(limit, value):
    return limit == resource.RLIM_INFINITY or limit >= value


def _may_raise(kind, value):
    """Return whether root may raise a hard limit so far. Without CAP_SYS_RESOURCE, as in a container, it may not."""
    soft, hard = resource.getrlimit(kind)
    if _enough(hard, value):
        return True
    try:
        resource.setrlimit(kind, (soft, value))
    except (OSError, ValueError):
        return False
    resource.setrlimit(kind, (soft, hard))
    return True


def _text(limit):
    return "unlimited" if limit == resource.RLIM_INFINITY else "%d" % limit


def _session(host, kind):
    """Return (soft, hard) limit of the session of the user who has connected: root's, behind sudo, is another one."""
    uid, _name = host.user()
    pid = 0
    if uid != os.geteuid():
        pid = _ancestor(uid)
    if pid:
        return resource.prlimit(pid, kind)
    return open_files.earlier if kind == resource.RLIMIT_NOFILE else resource.getrlimit(kind)


def _ancestor(uid):
    """Return the id of the nearest process above this one that is a user's, 0 when there is none."""
    pid = os.getppid()
    while pid > 1:
        try:
            with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as source:
                fields = dict(line.split(":", 1) for line in source if ":" in line)
        except OSError:
            return 0
        if int(fields["Uid"].split()[0]) == uid:
            return pid
        pid = int(fields["PPid"])
    return 0


class Linger:
    """Whether the manager of the user who has connected outlives his sessions; settings are {name: yes or no}."""

    def __init__(self, folder=LINGER):
        self._folder = folder

    def read(self, host, keys=None):
        """Return the settings: of that user, or of those that were recorded."""
        if not os.path.isdir(os.path.dirname(self._folder)):
            raise NotHere("this system has no systemd, which could end programs at a logout")
        return {name: _yes(os.path.exists(os.path.join(self._folder, name))) for name in (keys or [host.user()[1]])}

    def wanted(self, _host, now, _value):
        """Return the settings as they are to be."""
        return dict.fromkeys(now, "yes")

    def steps(self, _host, now, wanted):
        """Return the steps from one to the other."""
        verbs = {"yes": "enable-linger", "no": "disable-linger"}
        return [Run("loginctl", verbs[wanted[name]], name) for name in now if now[name] != wanted[name]]

    def describe(self, _host, settings):
        """Return settings as a phrase."""
        return ", ".join("%s: %s" % pair for pair in settings.items())


def _yes(value):
    return "yes" if value else "no"

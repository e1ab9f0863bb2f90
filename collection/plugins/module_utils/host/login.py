# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login that this program runs in, as systemd-logind counts logins. Nothing is started."""

from __future__ import annotations

import glob
import os
import re

_MAIN = "/etc/systemd/logind.conf"
# In the order of logind.conf(5): a file of a later directory replaces one of the same name, and all are read by name.
_DROP_INS = ("/usr/local/lib/systemd/logind.conf.d", "/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d", _MAIN + ".d")
_YES = ("1", "yes", "y", "true", "t", "on")


def ends_processes(cgroup="/proc/self/cgroup", root="", user=""):
    """Return whether the end of this login ends the processes that it has started.

    systemd-logind does so to all of a session's scope, with lingering or without, where KillUserProcesses is on.

    Args:
        cgroup: file that tells the scope of this process, see cgroups(7).
        root: directory in which the files of systemd are; empty for this machine's own.
        user: name of the user; empty for that of this process.
    """
    if not re.search(r"/session-[^/]*\.scope", _read(cgroup)):
        return False  # it runs in no login that could end
    settings = _settings(root)
    if settings.get("KillUserProcesses", "no").lower() not in _YES:
        return False
    name = user or _own_name()
    only, exclude = (settings.get(key, "").split() for key in ("KillOnlyUsers", "KillExcludeUsers"))
    return name not in (exclude or ["root"]) and (not only or name in only)


def _settings(root):
    """Return the settings of logind.conf(5). What a comment of the main file says is the default of the build."""
    found = dict(re.findall(r"^#\s*(Kill\w+)=(.*)$", _read(root + _MAIN), re.MULTILINE))
    named = {os.path.basename(path): path for folder in _DROP_INS for path in glob.glob(root + folder + "/*.conf")}
    for path in [root + _MAIN, *(named[name] for name in sorted(named))]:
        found.update(re.findall(r"^\s*(Kill\w+)\s*=(.*)$", _read(path), re.MULTILINE))
    return {name: value.strip() for name, value in found.items()}


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read(65536)
    except OSError:
        return ""


def _own_name():
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import user_name

    return user_name(os.geteuid())

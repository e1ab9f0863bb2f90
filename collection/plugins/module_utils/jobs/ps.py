# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of processes where there is no /proc (macOS), from ps(1)."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process, mark_in

# -E shows the environment of one's own processes after their command.
ALL = ("/bin/ps", "-axwwE", "-o", "pid=,ppid=,pgid=,stat=,lstart=,command=")
BRIEF = ("/bin/ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart=,ucomm=")  # the same columns at less cost
ENVIRONMENT = {"LC_ALL": "C"}  # dates in one language


def run(command):
    """Return the output of ps, as bytes."""
    import subprocess  # slow to import

    return subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, check=False).stdout


def parse(listing):
    """Return ({pid: Process}, {pid: mark}) from the output of `ALL` or `BRIEF`, as bytes."""
    table, marks = {}, {}
    for line in listing.splitlines():
        fields = line.split(None, 9)
        if len(fields) < 10 or fields[3].startswith(b"Z"):
            continue
        pid, parent, group = map(int, fields[:3])
        words = fields[9].split()
        name = os.path.basename(words[0]).decode("utf-8", "replace")
        table[pid] = Process(name, parent, group, group, b"_".join(fields[4:9]).decode("ascii", "replace"))
        mark = mark_in(words)
        if mark:
            marks[pid] = mark
    return table, marks

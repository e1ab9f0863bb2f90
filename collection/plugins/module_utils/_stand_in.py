# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what mpirun starts in our place. It needs no other file.

    rank JOB                    where mpirun wants a rank: the supervisor starts it, with the environment that was made for it
                                here, and this process returns what the rank returns
    host FOLDER HOST COMMAND    where mpirun wants a shell on another host, as the rsh or ssh it believes this to be

Both talk to the supervisor of this host by the socket `mpi` in the job's folder: one line of JSON there, a number back.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import sys

SOCKET = "mpi"


def main():
    """Ask the supervisor, and exit with its answer."""
    role, where, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if role == "rank":
        ask([os.environ.get("TMPDIR", "/tmp"), *sorted(folders(where))], rank())  # noqa: S108 - only looked at
    else:
        ask([where], {"host": rest[0], "words": rest[1:]})


def folders(job):
    """Return the job's folders here. In the first place looked at, TMPDIR, is one where our supervisor started mpirun's daemon."""
    return glob.glob(os.path.join(glob.escape(os.environ.get("TMPDIR", "/tmp")), "mlxlaunch-%s-*" % glob.escape(job)))  # noqa: S108 - as above


def rank():
    """Return what the rank needs that only mpirun's daemon knows."""
    number = os.environ.get("PMIX_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or "-1"
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {"rank": int(number), "env": dict(os.environ), "affinity": affinity}


def ask(places, message):
    """Send a message to the supervisor in the first of `places` that has one; exit with its answer."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    for place in places:
        try:
            os.chdir(place)  # a socket's name is short, its path need not be
            if os.stat(SOCKET).st_uid != os.getuid():
                continue  # anybody may make one in /tmp
            link.connect(SOCKET)
        except OSError:
            continue
        link.sendall(json.dumps(message).encode("ascii") + b"\n")
        answer = link.makefile().readline()
        raise SystemExit(int(answer) if answer.strip() else 1)
    raise SystemExit("mlxlaunch: no supervisor of this job was found in %s" % ", ".join(places))

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that mpirun starts in place of ranks and of ssh. It needs no other file.

    rank JOB                    in place of a rank: the supervisor starts it with the environment that mpirun made,
                                and this process returns the rank's exit code
    host FOLDER HOST COMMAND    in place of rsh or ssh, when mpirun runs a command on another host

Both reach the supervisor of this host by the socket `mpi` in the job's folder: one line of JSON there, a number back.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import socket
import struct
import sys

SOCKET = "mpi"
FOLDER = "%s-*"  # the folders of a job: shared/names.FOLDER_FORMAT, which this file cannot import
STATE = ".local/state/mlxlaunch/jobs/*"  # their directories, as in jobs/place, which it cannot import either
_PEER = (1, 17, 12, 4) if sys.platform == "linux" else (0, 1, 76, 4)  # SO_PEERCRED, LOCAL_PEERCRED: level, option, size, place


def main():
    """Send a request to the supervisor, and exit with its answer."""
    role, where, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if role == "rank":
        ask([os.environ.get("TMPDIR", "/tmp"), *sorted(folders(where))], rank())  # noqa: S108 - only looked at
    else:
        ask([where], {"host": rest[0], "words": rest[1:]})


def folders(job):
    """Return the job's folders. Under mpirun's daemon TMPDIR is the job's folder itself, but not with ssh between."""
    homes = [os.environ.get("HOME", ""), pwd.getpwuid(os.geteuid()).pw_dir]
    parents = [os.path.join(glob.escape(home), STATE) for home in homes if home]
    if "XDG_STATE_HOME" in os.environ:
        parents.append(os.path.join(glob.escape(os.environ["XDG_STATE_HOME"]), *STATE.split("/")[2:]))
    temporary = (os.environ.get("TMPDIR", "/tmp"), "/tmp")  # noqa: S108 - each is checked
    parents += [os.path.join(glob.escape(folder), "mlxlaunch-%d" % os.geteuid()) for folder in temporary]
    return {path for parent in parents for path in glob.glob(os.path.join(parent, FOLDER % glob.escape(job)))}


def rank():
    """Return the rank's number, environment and processors, which only mpirun's daemon knows."""
    number = os.environ.get("PMIX_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or "-1"
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {"rank": int(number), "env": dict(os.environ), "affinity": affinity}


def ask(places, message):
    """Send a message to the supervisor in the first of `places` that has one; exit with its answer."""
    for place in places:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            if not reach(link, place):
                continue
            link.sendall(json.dumps(message).encode("ascii") + b"\n")
            answer = link.makefile().readline()
            raise SystemExit(int(answer) if answer.strip() else 1)
    raise SystemExit("mlxlaunch: no supervisor of this job was found in %s" % ", ".join(places))


def reach(link, place):
    """Connect to the supervisor in a directory; return whether one of this user's is there."""
    try:
        os.chdir(place)  # a socket's name is short, its path need not be
        found = os.stat(".")
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return False  # anybody may make one in /tmp
        link.connect(SOCKET)
    except OSError:
        return False
    return is_ours(link)


def is_ours(link):
    """Return whether the process at the other end of a socket is this user's, see unix(7)."""
    level, option, size, place = _PEER
    try:
        credentials = link.getsockopt(level, option, size)
    except OSError:
        return False
    return struct.unpack_from("I", credentials, place)[0] == os.geteuid()

"""Another local user: programs that run as `nobody`, without any group of ours."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

_NOBODY = 65534
#: Tries to read, write and list each path, and to connect to it; prints those where anything works.
_TRY = r"""
import json, os, socket, sys
worked = []
def attempt(what, path, function):
    try:
        function()
    except OSError:
        return
    worked.append("%s %s" % (what, path))
def connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.connect(path)
for path in json.load(sys.stdin):
    attempt("read", path, lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
    attempt("write", path, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    attempt("list", path, lambda: os.listdir(path))
    attempt("connect to", path, lambda: connect(path))
    attempt("make a file in", path, lambda: os.close(os.open(path + "/planted", os.O_WRONLY | os.O_CREAT | os.O_EXCL)))
print(json.dumps(worked))
"""


def works_for_a_neighbour(paths: Sequence[Path]) -> list[str]:
    """Return what another local user can do with some paths: read, write, list, connect, plant a file."""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", _TRY],
        input=json.dumps([str(path) for path in paths]),
        user=_NOBODY,
        group=_NOBODY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def sockets(paths: Sequence[Path]) -> list[Path]:
    """Return those of the paths that are sockets."""
    return [path for path in paths if stat.S_ISSOCK(path.lstat().st_mode)]


def socket_inodes(pid: int) -> set[str]:
    """Return the inodes of the sockets of a process."""
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]  # noqa: PTH115
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def named_sockets(pids: Sequence[int]) -> list[str]:
    """Return the names of all Unix sockets that processes listen at; abstract ones, which have no mode, begin with @."""
    inodes = set().union(*map(socket_inodes, pids))
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [row[7] for row in rows if len(row) > 7 and row[6] in inodes]

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launching process's own output, which a worker of Ansible has lost.

Ansible detaches a worker from descriptors 0 to 2. The `stream` callback keeps duplicates of 1 and 2 in the main
process; a worker is forked from it and so has them too. Without the callback there are none, and output
goes through Ansible's display.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping

_kept: list[tuple[int, int]] = []


def keep() -> None:
    """Duplicate stdout and stderr for future workers. Children that they start do not inherit them."""
    if not _kept:
        _kept.append((os.dup(1), os.dup(2)))


def descriptors() -> tuple[int, int] | None:
    """Return duplicates of the launching process's (stdout, stderr), or None."""
    return _kept[0] if _kept else None


def files_of(fds: Iterable[int]) -> list[tuple[int, int]]:
    """Return (device, inode) of each regular file among descriptors: somebody has redirected output to it."""
    found = []
    for fd in fds:
        try:
            status = os.fstat(fd)
        except OSError:
            continue  # closed
        if stat.S_ISREG(status.st_mode):
            found.append((status.st_dev, status.st_ino))
    return found


def under_runner(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether ansible-runner (AWX, Automation Controller) started Ansible and reads events from its output."""
    return (os.environ if environ is None else environ).get("ANSIBLE_STDOUT_CALLBACK") == "awx_display"


def wants_colour(fd: int, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether to use colour on a descriptor: a terminal, and NO_COLOR (no-color.org) is not set."""
    environ = os.environ if environ is None else environ
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and os.isatty(fd)

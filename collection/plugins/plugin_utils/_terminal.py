# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the launching process's own output, which a worker of Ansible has lost.

Ansible detaches a worker from descriptors 0 to 2. The `stream` callback keeps duplicates of 1 and 2 in the main
process; a worker is forked from it and so has them too. Where the callback is not in use there are none, and
output goes through Ansible's display instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_kept: list[tuple[int, int]] = []


def keep() -> None:
    """Duplicate stdout and stderr for the workers to come. Children that they start do not inherit them."""
    if not _kept:
        _kept.append((os.dup(1), os.dup(2)))


def descriptors() -> tuple[int, int] | None:
    """Return duplicates of the launching process's (stdout, stderr), or None."""
    return _kept[0] if _kept else None


def under_runner(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether ansible-runner (AWX, Automation Controller) started Ansible: standard output then carries its events."""
    return (os.environ if environ is None else environ).get("ANSIBLE_STDOUT_CALLBACK") == "awx_display"


def wants_colour(fd: int, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether to use colour on a descriptor: a terminal, and NO_COLOR (no-color.org) is not set."""
    environ = os.environ if environ is None else environ
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and os.isatty(fd)

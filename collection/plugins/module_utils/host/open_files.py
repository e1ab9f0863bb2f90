# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit of open files: shells of a Mac allow 256, fewer than the ranks of a large host need."""

from __future__ import annotations

import resource

_SOME = 64  # descriptors of a program with nothing to do
_FOR_A_RANK = 10  # pipes and the first files of its streams
_COMFORT = 100  # with all the files of a rank whose output waits on disk

earlier = resource.getrlimit(resource.RLIMIT_NOFILE)  # that of the programs that are started here


def for_ranks(count):
    """Return (descriptors that a supervisor of so many ranks needs, those it can use)."""
    return _SOME + _FOR_A_RANK * count, _SOME + _COMFORT * count


def allow(needed, wanted=0):
    """Raise the limit of this process to what it can use; return the problem when it cannot have what it needs, or "".

    Args:
        needed, wanted: numbers of descriptors.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited:
        return ""
    for number in (max(needed, wanted), needed):
        goal = number if hard == unlimited else min(number, hard)
        if goal > soft and _set(goal, hard):
            soft = goal
            break
    if soft >= needed:
        return ""
    most = "none" if hard == unlimited else "%d" % hard
    return "needs %d open files, and may have %d (hard limit: %s); raise that, or put fewer ranks there" % (needed, soft, most)


def _set(soft, hard):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):
        return False  # over kern.maxfilesperproc, for example
    return True


def restore():
    """Give this process, which is about to become another program, the limit that it would have had."""
    _set(*earlier)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The most memory that the GPU of a Mac may wire (sysctl iogpu.wired_limit_mb) without starving its system. Pure."""

from __future__ import annotations

_ENOUGH = 8192  # MB that the system needs on a Mac with much memory
_SMALL = 32768  # MB up to which macOS keeps a third, by reports of recommendedMaxWorkingSetSize (ollama#434)


def default_wired(memory):
    """Return the MB that macOS lets the GPU wire: two thirds of a small memory, three quarters of a large one."""
    return memory - (memory // 3 if memory <= _SMALL else memory // 4)


def most_wired(memory):
    """Return the largest wired limit, in MB, that leaves the system its part of a memory in MB.

    The system keeps a third, of which 8 GB are enough, or a sixteenth when that is more. So the limit is at no size
    below the default. Macs on which the system had less are reported to panic (mlx#3186).
    """
    return memory - max(min(memory // 3, _ENOUGH), memory // 16)

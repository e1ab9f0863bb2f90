# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the errors of the launch, and the exit status that stands for each."""

from __future__ import annotations

EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_NOT_READY = 3
EXIT_TIMEOUT = 124


class LaunchError(Exception):
    """Root of everything that can go wrong; its text is one message for a person."""

    returncode = EXIT_INTERNAL


class UsageError(LaunchError):
    """What was asked for cannot be meant: a flag, an inventory, a hostfile. Nothing was started."""

    returncode = EXIT_USAGE

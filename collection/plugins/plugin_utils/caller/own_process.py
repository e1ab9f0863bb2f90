# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launching process itself, as far as it can be in a state that no job can start from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..job.errors import LaunchError, UsageError


def own_python() -> str:
    """Return the path of this process's Python.

    Raises:
        LaunchError: a program that embeds Python does not tell it.
    """
    beside = [Path(sys.prefix, "bin", name) for name in ("python3", "python")]
    found = sys.executable or next((str(path) for path in beside if os.access(path, os.X_OK)), "")
    if not found:
        raise LaunchError("this program does not tell which Python it is: set sys.executable to the path of the one that has mlxlaunch")
    return found


def current_folder() -> str:
    """Return this process's current directory.

    Raises:
        UsageError: there is none.
    """
    try:
        return os.getcwd()
    except OSError as exc:
        raise UsageError(f"the current directory cannot be used: {exc.strerror}; change to another") from None


def absolute(path: str) -> str:
    """Return an absolute path, as os.path.abspath does; raise UsageError when there is no current directory."""
    return os.path.abspath(path if Path(path).is_absolute() else Path(current_folder(), path))

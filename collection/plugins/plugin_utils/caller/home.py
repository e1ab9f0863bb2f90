# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The home directory of the launching user in paths on this machine. Each host does the same for paths there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..job.errors import UsageError
from ..job.settings import BY_NAME


def without_tildes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the home directory in place of `~` in paths on this machine.

    A script that is not here is a path on the hosts.

    Raises:
        UsageError: naming the setting, and a user that is not known here.
    """
    return {name: _expanded(name, value) if _is_path(name) and isinstance(value, str) else value for name, value in settings.items()}


def _is_path(name: str) -> bool:
    return name == "script" or (name in BY_NAME and BY_NAME[name].type == "path")


def _expanded(name: str, value: str) -> str:
    path = at_home(value)
    if name == "script":
        return path if path != value and Path(path).exists() else value
    if path.startswith("~"):
        raise UsageError(f"{BY_NAME[name].shown} {value}: there is no such user here; write ./{value} if a directory is called so")
    return path


def at_home(path: str) -> str:
    """Return a path with the home directory in place of `~` or `~user` at its beginning, if there is such a user."""
    return os.path.expanduser(path)  # noqa: PTH111 - that of pathlib raises RuntimeError

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the backends."""

from __future__ import annotations

from .errors import UsageError

#: The default: the backend of the hostfile, else the one that mlx.launch would take.
AUTO = "auto"
# The names mlx.launch 0.32 knows, and which of them this version starts.
KNOWN = ("ring", "mpi", "nccl", "jaccl", "jaccl-ring")
SUPPORTED = ("ring", "mpi", "nccl", "jaccl", "jaccl-ring")


def check_backend(name: str, where: str = "") -> str:
    """Return the backend's name, or raise UsageError with the names there are; its text begins with `where`."""
    if name in (AUTO, *SUPPORTED):
        return name
    if name in KNOWN:
        raise UsageError(f"{where}backend {name!r} is not supported yet; this version starts: {', '.join(SUPPORTED)}")
    raise UsageError(f"{where}unknown backend {name!r}; this version starts: {', '.join(SUPPORTED)}")

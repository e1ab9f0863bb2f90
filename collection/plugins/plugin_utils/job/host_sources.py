# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that run beside ranks on hosts, as texts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HostSources:
    """Sources of host programs that travel in a specification; see module_utils/launch.

    Attributes:
        sitecustomize_hook: runs when a rank's Python starts.
        init_guard: watches the call of `mx.distributed.init`.
        mpi_shim: takes the place of ssh and of ranks under mpirun.
    """

    sitecustomize_hook: str
    init_guard: str
    mpi_shim: str

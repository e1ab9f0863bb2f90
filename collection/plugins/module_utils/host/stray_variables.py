# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of this host's profile that MLX would take in place of a job's."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import JACCL_ALIASES

# Names that choose a backend, or its form, by being there: those of a backend that the job does not use.
_CHOOSING = ("MLX_HOSTFILE", "MLX_IBV_DEVICES", "MLX_JACCL_COORDINATOR", "MLX_JACCL_RING", "MLX_WORLD_SIZE", "NCCL_HOST_IP", "NCCL_PORT")


def clear_for_job(spec, warn):
    """Remove stray variables of this process before hosts are compared by theirs; `warn` takes a line about them."""
    own = {name for rank in spec.ranks for name in rank.env} | set(spec.files)
    found = clear_stray(os.environ, own)
    if found:
        warn(complaint(found))


def clear_stray(environment, own):
    """Remove stray variables; return the names of those that were there.

    Args:
        environment: the variables that ranks start from; changed.
        own: names that the job sets itself, which win in any case.
    """
    found = [name for name in (*JACCL_ALIASES, *_CHOOSING) if name in environment and name not in own]
    for name in found:
        del environment[name]
    return found


def complaint(names):
    """Return the line for a person about variables that were removed."""
    them = "it" if len(names) == 1 else "them"
    return "cleared %s, which this host's profile sets: MLX would take %s in place of the job's" % (", ".join(names), them)

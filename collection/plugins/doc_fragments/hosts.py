# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every action that drives hosts."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend, by the names that Ansible looks for."""

    DOCUMENTATION = r"""
options:
  group:
    description:
      - Inventory group whose hosts run the ranks, in inventory order.
      - In a play for these hosts, only those that C(--limit) leaves take part.
    type: str
    default: mlx
  connect_timeout:
    description:
      - Seconds a host may take until it is ready.
    type: float
    default: 30.0
  lease:
    description:
      - Seconds of silence after which a host, or the launcher, is given up.
    type: float
    default: 30.0
  verbose:
    description:
      - "Tell more: hosts as they become ready, process ids, the ring's own messages."
    type: bool
    default: false
"""

    # Apart from the others as mlxlaunch.cluster.hosts.hostfile: that of a job says ranks, too, and some have none.
    HOSTFILE = r"""
options:
  hostfile:
    description:
      - An MLX hostfile, as data, that says which hosts take part. Its hosts must be in the inventory.
      - For programs that launch. Without it, the group says it.
    type: raw
"""

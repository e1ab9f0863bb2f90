# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hostfile
version_added: 1.0.0
short_description: Write the MLX hostfile on the controller and on every host
description:
  - Renders the hostfile of C(mlx.launch) from inventory and writes it to one file on the controller, and as
    C(hostfile.json) in one directory on every host of an inventory group.
  - Which ranks are in it does not depend on C(--limit), which only says where it is written.
  - How hosts are named and ranks are numbered is told at P(mlxlaunch.cluster.hostfile#filter).
  - One task serves all hosts, over the connection that Ansible is configured to use. A host that fails keeps the file that
    it has, and the others get theirs; nobody ever reads a half written one.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the hosts
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.project.root
  - mlxlaunch.cluster.attributes
options:
  path:
    description:
      - The file on the controller. A relative path counts from the directory that Ansible was started in, which has to have
        the directory of the file.
      - Nothing is written there when it is empty.
      - A file that the inventory is read from is refused.
    type: str
    default: ""
  schema:
    description: V(list) for the bare list that every version of MLX reads, V(object) for the newer schema.
    type: str
    choices: [list, object]
    default: list
  backend:
    description: Backend to write into the V(object) schema; with V(auto) the file leaves it to whoever launches.
    type: str
    choices: [auto, ring, mpi, nccl, jaccl, jaccl-ring]
    default: auto
  env:
    description:
      - Environment variables to write into the V(object) schema; everybody on the hosts can read them there.
      - Those of C(mlx_env) are not written unless they are given here.
    type: dict
    default: {}
  ranks:
    description:
      - Hostfile data that says which rank is on which of the hosts, as the inventory plugin sets C(mlx_hostfile).
      - Without it, the ranks of a host follow each other.
    type: raw
    default: []
  group:
    description:
      - Inventory group whose hosts run the ranks, in inventory order.
      - In a play for these hosts, it is written only on those that C(--limit) leaves.
  verbose:
    description:
      - Tell more.
attributes:
  async:
    details: It tells what it waits for while it waits.
  become:
    details: Only where the method asks for no password. The file on the controller is written as the user who runs Ansible.
  bypass_host_loop:
    details: All hosts are driven at once, and its result is that of the first one.
  diff_mode:
    support: full
    details: Hosts with the same difference are told together.
  platform:
    details: Tested on Linux.
seealso:
  - module: mlxlaunch.cluster.deploy
  - plugin: mlxlaunch.cluster.hostfile
    plugin_type: filter
  - plugin: mlxlaunch.cluster.mlx_hostfile
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Write the hostfile on all hosts of the group, and nowhere else
  mlxlaunch.cluster.hostfile:
    root: /opt/mlx

- name: Write the newer schema, here too
  mlxlaunch.cluster.hostfile:
    path: hosts.json
    schema: object
    backend: ring
    env:
      HF_HOME: /Users/Shared/huggingface
  register: hostfile
"""

RETURN = r"""
returncode:
  description:
    - V(0), V(2) for a mistake in what was asked for, V(3) for a host out of reach or one that it cannot be written on, V(130) or
      V(143) when it was interrupted.
  returned: always
  type: int
  sample: 0
cause:
  description: How it ended, in one word.
  returned: when the hosts were asked
  type: str
  sample: deployed
message:
  description: The same for a person.
  returned: when the hosts were asked
  type: str
  sample: hostfile on 4 hosts changed
problems:
  description: What went wrong, by host.
  returned: when the hosts were asked
  type: dict
  sample: {}
hosts_changed:
  description: The hosts that it was written on, or would be in check mode.
  returned: when the hosts were asked
  type: dict
  sample:
    studio-2: [hostfile]
root:
  description: Directory of the file on the hosts.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch
path:
  description: Path of the file on the controller, or empty.
  returned: when the hosts were asked
  type: str
  sample: /home/me/hostfile.json
path_changed:
  description: Whether it was written on the controller, or would be in check mode.
  returned: when the hosts were asked
  type: bool
  sample: false
text:
  description: What it says.
  returned: when the hosts were asked
  type: str
  sample: |
    [
      {"ssh": "studio-1", "ips": ["10.0.0.1"]}
    ]
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 0.3
"""

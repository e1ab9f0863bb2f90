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
  - The mlxlaunch-ansible contributors (!UNKNOWN)
requirements:
  - Python 3.9 or newer on the hosts
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
    description: Backend to write into the V(object) schema; with V(auto), or nothing, the file leaves it to whoever launches.
    type: str
    default: ""
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
  root:
    description:
      - Directory on the hosts, the same on every host. It is made when it is not there.
      - Without it, C(/Users/Shared/mlxlaunch) if all hosts that answer are Macs, else C(/opt/mlxlaunch).
    type: str
    default: ""
  group:
    description:
      - Inventory group whose hosts run the ranks, in inventory order.
      - In a play for these hosts, it is written only on those that C(--limit) leaves.
    type: str
    default: mlx
  connect_timeout:
    description:
      - Seconds a host may take until it is ready.
    type: float
    default: 30.0
  lease:
    description:
      - Seconds of silence after which a host is given up.
    type: float
    default: 30.0
  verbose:
    description:
      - Tell more.
    type: bool
    default: false
attributes:
  action:
    support: full
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    details: All of it is; the module of this name only carries the documentation.
  async:
    support: none
    description: Supports being used with the C(async) keyword.
    details: It tells what it waits for while it waits.
  become:
    support: partial
    description: Is usable alongside become keywords.
    details: Only where the method asks for no password. The file on the controller is written as the user who runs Ansible.
  bypass_host_loop:
    support: full
    description: Runs once, not once per host.
    details: All hosts are driven at once, and its result is that of the first one.
  check_mode:
    support: full
    description: Can run in check_mode and predict changes without making any.
  connection:
    support: partial
    description: Uses each host's configured connection to execute code on it.
    details: Only ssh without a password, and local.
  diff_mode:
    support: full
    description: Returns details on what has changed, in diff mode.
    details: Hosts with the same difference are told together.
  platform:
    support: full
    platforms: macOS, Linux
    description: Target systems that can be operated against.
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
      MLX_METAL_FAST_SYNCH: "1"
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

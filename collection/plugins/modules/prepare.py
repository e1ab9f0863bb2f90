# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: prepare
version_added: 1.1.0
short_description: Prepare hosts for jobs, or take that back
description:
  - Shows whether the hosts of a group are fit to run jobs without anybody beside them, and with O(apply=true) makes them so, as root.
  - Each item is on or off. One that is not given here is as the variable of each host says, C(mlx_prepare_sleep) for O(sleep).
  - What was there before is recorded on each host, where root alone can write, and O(state=absent) goes back to it.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the hosts
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.hosts.hostfile
  - mlxlaunch.cluster.job.control
  - mlxlaunch.cluster.attributes
options:
  sleep:
    description:
      - Keep a Mac awake. Neither it nor its disks sleep while it has mains power; its display may.
      - Default is C(mlx_prepare_sleep) of each host, else V(true).
    type: bool
  power_failure:
    description:
      - Let a Mac start again by itself after a power failure.
      - Default is C(mlx_prepare_power_failure) of each host, else V(true).
    type: bool
  wired_limit:
    description:
      - Memory that the GPU of a Mac may wire, in MB, now and at each start. V(auto) leaves the system its part.
      - A number that leaves the system too little is refused. V(off) leaves the limit alone.
      - Default is C(mlx_prepare_wired_limit) of each host, else V(off).
    type: str
  open_files:
    description:
      - Files that a process may have open, now and at each start. V(off) leaves the limit alone.
      - Default is C(mlx_prepare_open_files) of each host, else V(off).
    type: str
  processes:
    description:
      - Processes that a user may have, now and at each start. V(off) leaves the limit alone.
      - Default is C(mlx_prepare_processes) of each host, else V(off).
    type: str
  firewall:
    description:
      - Let the Python of the ranks accept connections through the application firewall of a Mac, if that is on.
      - Default is C(mlx_prepare_firewall) of each host, else V(true).
    type: bool
  linger:
    description:
      - Let the user's systemd manager on Linux, and what it runs, outlive logins.
      - Default is C(mlx_prepare_linger) of each host, else V(false).
    type: bool
  apply:
    description:
      - Change what is not as it is to be. Without it, the task only tells.
      - Nothing is changed on any host when one cannot have what is wanted. A host that cannot be reached keeps no other one from it.
      - A host on which nobody can be root gets its commands printed; the others are prepared, and the task fails.
    type: bool
    default: false
  state:
    description:
      - With V(absent), go back to what was recorded before, also after a run that broke off.
    type: str
    choices: [present, absent]
    default: present
  python:
    description:
      - Python of the ranks, by its path on the hosts. The firewall is told to let it accept connections.
      - Default is C(mlx_python) of each host, else the path of the Python that runs Ansible.
    type: str
    default: ""
attributes:
  async:
    details: The action drives the hosts itself.
  bypass_host_loop:
    details: Nothing is changed anywhere when one host cannot have what is wanted.
  check_mode:
    details: Nothing is changed then, and the result tells what would be.
  diff_mode:
    support: full
    details: Shows the settings of each host before and after.
seealso:
  - module: mlxlaunch.cluster.check_info
    description: Shows whether the hosts are ready for a job.
  - module: mlxlaunch.cluster.network
    description: Sets up the network between them.
"""

EXAMPLES = r"""
- name: Show what is to be prepared
  mlxlaunch.cluster.prepare:

- name: Prepare the hosts, as the variables of each one say
  mlxlaunch.cluster.prepare:
    apply: true

- name: Let the GPUs wire more memory, and leave the firewall alone
  mlxlaunch.cluster.prepare:
    wired_limit: auto
    firewall: false
    apply: true

- name: Take all of it back
  mlxlaunch.cluster.prepare:
    state: absent
"""

RETURN = r"""
returncode:
  description:
    - V(0) when all is as it is to be or will be, V(2) for a mistake in the options, V(3) when a host cannot be asked or prepared,
      V(130) or V(143) when it was interrupted.
  returned: always
  type: int
  sample: 0
cause:
  description: V(prepared), V(not_ready) or V(interrupted).
  returned: when the hosts were asked
  type: str
  sample: prepared
message:
  description: The same for a person.
  returned: when the hosts were asked
  type: str
  sample: "8 items on 4 hosts set"
prepare:
  description:
    - "The document of C(mlxlaunch prepare --json): C(hosts) with the C(items) of each, and C(problems), which is empty when all is well."
    - "An item has its C(state): C(right), C(changed), C(would change), C(not here), C(failed), C(by hand) or C(not known)."
  returned: when the hosts were asked
  type: dict
text:
  description: The table and its lines as text.
  returned: when the hosts were asked
  type: str
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 0.904
"""

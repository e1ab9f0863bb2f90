# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: network
version_added: 1.1.0
short_description: Show the network between hosts, plan it for MLX, and set it up
description:
  - Asks all hosts of a group once, and shows one table of their interfaces and the topology of their Thunderbolt cables.
  - Plans backend, order of ranks, addresses and RDMA devices, and names what is wrong and what to do about it.
  - Changes hosts only with O(apply=true) or O(state=absent), as root. Writes files on the controller where an option names them.
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
  over:
    description:
      - Network of the ranks.
      - With V(auto), Thunderbolt where its cables connect all hosts, else Ethernet.
    type: str
    choices: [auto, thunderbolt, ethernet]
    default: auto
  backend:
    description:
      - Distributed backend to plan for.
      - With V(auto), the best one that cables, macOS and RDMA devices allow.
    type: str
    choices: [auto, ring, jaccl, jaccl-ring]
    default: auto
  require:
    description:
      - Topology that the Thunderbolt cables have to make; without it, any that serves the backend.
    type: str
    choices: ["", ring, mesh]
    default: ""
  schema:
    description:
      - "Schema of the hostfile: V(list) is the bare list that every version of MLX reads, V(object) has backend and variables."
    type: str
    choices: [list, object]
    default: object
  interface:
    description:
      - Interface for Ethernet on every host, C(en0) for example.
      - Without it, the one by which all hosts reach each other fastest.
    type: str
    default: ""
  subnet:
    description:
      - Block of IPv4 addresses for the cables, V(10.99.0.0/22) for example; each cable takes four.
      - Without it, a block that no host, route or VPN uses. Addresses that are right already stay.
    type: str
    default: ""
  output_hostfile:
    description:
      - File on the controller that gets the MLX hostfile of the plan.
    type: str
    default: ""
  output_vars:
    description:
      - Directory on the controller, C(host_vars) for example.
      - It gets C(HOST/mlx_network.yml) with C(mlx_ips) and C(mlx_rdma) of each host.
      - A file of that name that something else has written is refused.
    type: str
    default: ""
  record:
    description:
      - New directory on the controller that gets the raw answers of all hosts, without names, addresses and serial numbers.
    type: str
    default: ""
  svg:
    description:
      - File on the controller that gets a picture of hosts and cables.
    type: str
    default: ""
  ignore_unreachable:
    description:
      - Plan without the hosts that cannot be asked, instead of failing.
    type: bool
    default: false
  apply:
    description:
      - Give the ports of the plan their addresses as root, and verify the links in both directions.
      - Only these ports leave a bridge. The state before is recorded on each host, where root alone can write.
      - Nothing is changed on any host when one refuses, for example as its connection would be cut.
      - A host on which nobody can be root gets its commands printed; the others are set up, and the task fails.
    type: bool
    default: false
  state:
    description:
      - With V(absent), take back what was set earlier, also by a run that broke off.
    type: str
    choices: [present, absent]
    default: present
  measure:
    description:
      - Measure bandwidth and latency of every link in both directions, and run an all_sum of MLX.
      - Refused while a job runs on a host.
    type: bool
    default: false
attributes:
  async:
    details: The action is where the table is made.
  bypass_host_loop:
    details: A cable is known only from the answers of both its ends.
  check_mode:
    details: Nothing is changed or written then, and the result tells the ports and files that would be.
  diff_mode:
    support: partial
    details: Shows the ports of hosts before and after. Files have no differences to show that the table does not.
seealso:
  - module: mlxlaunch.cluster.check_info
    description: Shows whether the hosts are ready for a job.
"""

EXAMPLES = r"""
- name: Show the cables between all Macs of the group
  mlxlaunch.cluster.network:

- name: Plan RDMA over Thunderbolt, and keep the result as variables of the inventory
  mlxlaunch.cluster.network:
    over: thunderbolt
    backend: jaccl
    output_vars: host_vars
  register: network

- name: Set the cables up, and fail unless every link works in both directions
  mlxlaunch.cluster.network:
    over: thunderbolt
    apply: true

- name: Take that back
  mlxlaunch.cluster.network:
    state: absent

- name: Show the plan
  ansible.builtin.debug:
    var: network.network.plan
  run_once: true
"""

RETURN = r"""
returncode:
  description:
    - V(0) with a plan, V(2) for a mistake in the options, V(3) when a host cannot be asked or set up or there is no plan, V(130) or V(143)
      when it was interrupted.
  returned: always
  type: int
  sample: 0
cause:
  description: V(planned), V(not_ready) or V(interrupted).
  returned: when the hosts were asked
  type: str
  sample: planned
message:
  description: The same for a person.
  returned: when the hosts were asked
  type: str
  sample: "4 hosts, backend ring over 4 Thunderbolt cables: all are set"
network:
  description:
    - "The document of C(mlxlaunch network --json): C(hosts), C(links), C(cables), C(topology), C(plan) and C(findings);"
    - "C(changes), C(verified), C(measured) and C(all_sum) of what was done; C(problems) is empty when all of it is well."
  returned: when the hosts were asked
  type: dict
text:
  description: The table and the topology as text.
  returned: when the hosts were asked
  type: str
dot:
  description: The cables as a graph in the DOT language.
  returned: when the hosts were asked
  type: str
files:
  description: Files on the controller that were written, or would be in check mode.
  returned: when the hosts were asked
  type: list
  elements: str
  sample: [/home/me/cluster/host_vars/mac-1/mlx_network.yml]
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 2.104
"""

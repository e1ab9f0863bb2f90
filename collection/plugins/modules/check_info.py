# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: check_info
version_added: 1.0.0
short_description: Show whether hosts are ready for a distributed MLX job
description:
  - Asks all hosts of a group for what a job needs, and shows one table, a row a host.
  - "In it: whether the host is reachable and its host key known, the Python of the ranks, the digests of environment and
    project, the version of MLX and whether C(mlx.core) can be imported, the system, whether the addresses its ranks listen
    on are its own and the ports free, whether its neighbours in the ring can be reached on them in both directions,
    C(mpirun), the offset of its clock, free disk and memory, and what earlier jobs have left."
  - Below the table stands, for everything that is wrong, what to do about it.
  - Versions and digests in which hosts should not differ are compared with what most hosts have.
  - Nothing is changed on any host. Sockets that listen for a moment end with the check, however it ends.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the hosts
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.project
  - mlxlaunch.cluster.project.root
  - mlxlaunch.cluster.job
  - mlxlaunch.cluster.job.control
  - mlxlaunch.cluster.attributes
options:
  script:
    description:
      - Script that a job would run.
      - Of one that is on the controller the hosts are to have the same, see O(sync); any other is a path on the hosts.
    type: str
    default: ""
  env:
    description:
      - Environment variables for the ranks, stronger than those of C(mlx_env) in inventory and playbook; MLX is imported with them.
      - Their values never appear in output, results or records of this action.
      - What the backend needs is set last and cannot be replaced.
    type: dict
    default: {}
  sync:
    description:
      - A job would bring its script and project to the hosts, so they are to have those of the controller.
      - A script that is not on the controller is taken for a path on the hosts.
    type: bool
    default: true
attributes:
  async:
    details: The action is where the table is made.
  bypass_host_loop:
    details: Hosts are compared with each other, and connect to each other.
  check_mode:
    details: It never changes anything. In check mode nothing was deployed before it, so what a deploy would bring is a warning where it
      is missing.
  diff_mode:
    support: none
    details: It never changes anything.
seealso:
  - module: mlxlaunch.cluster.launch
    description: Launches the job.
"""

EXAMPLES = r"""
- name: See whether all Macs of the group are ready
  mlxlaunch.cluster.check_info:
    python: /opt/mlxlaunch/env/bin/python

- name: See whether they have this project and this environment
  mlxlaunch.cluster.check_info:
    script: train.py
    project_dir: .
    environment: requirements.lock
  register: readiness

- name: Show the clocks
  ansible.builtin.debug:
    msg: "{{ item.host }}: {{ item.cells.clock.value }}"
  loop: "{{ readiness.checks }}"
  loop_control:
    label: "{{ item.host }}"
  run_once: true
"""

RETURN = r"""
returncode:
  description: What C(mlxlaunch check) would exit with, V(0) when all hosts are ready, V(3) when something is wrong.
  returned: always
  type: int
  sample: 0
cause:
  description: V(ready), V(not_ready) or V(interrupted).
  returned: when the hosts were asked
  type: str
  sample: ready
message:
  description: The same for a person.
  returned: when the hosts were asked
  type: str
  sample: all 4 hosts are ready
checks:
  description: What is to be said of each host, in order.
  returned: when the hosts were asked
  type: list
  elements: dict
  contains:
    host:
      description: Its inventory name.
      type: str
      returned: success
    ranks:
      description: The ranks it would run.
      type: list
      elements: int
      returned: success
    status:
      description: The worst of its cells, V(ok), V(warn) or V(fail).
      type: str
      returned: success
    cells:
      description:
        - By column, its C(value), its C(status), and C(notes) on what is wrong and what to do.
        - The status is V(unknown) for what was not looked at, or need not be there.
      type: dict
      returned: success
facts:
  description: What was found, by host.
  returned: when the hosts were asked
  type: dict
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 1.204
"""

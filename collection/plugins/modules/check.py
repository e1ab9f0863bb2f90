# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: check
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
  - The mlxlaunch-ansible contributors (!UNKNOWN)
requirements:
  - Python 3.9 or newer on the hosts
options:
  script:
    description:
      - Script that a job would run.
      - Of one that is on the controller the hosts are to have the same, see O(sync); any other is a path on the hosts.
    type: str
    default: ""
  group:
    description:
      - Inventory group whose hosts would run the ranks, in inventory order.
      - In a play for these hosts, only those that C(--limit) leaves take part.
    type: str
    default: mlx
  backend:
    description:
      - Distributed backend.
      - V(auto) is what mlx.launch would take, V(nccl) where MLX on the controller can use CUDA, else V(ring).
        A hostfile that is used as inventory sets C(mlx_backend).
    type: str
    choices: [auto, ring, mpi, nccl, jaccl, jaccl-ring]
    default: auto
  env:
    description:
      - Environment variables for the ranks, stronger than those of C(mlx_env) in inventory and playbook; MLX is imported with them.
      - Their values never appear in output, results or records of this action.
      - What the backend needs is set last and cannot be replaced.
    type: dict
    default: {}
  cwd:
    description:
      - Working directory on the hosts; it must exist there.
      - Without it, the directory of the playbook run where a host has it, else the home directory.
    type: str
    default: ""
  python:
    description:
      - Python that runs the script, by its path on the hosts, for hosts without C(mlx_python).
      - Without it, the path of the Python that runs Ansible.
    type: str
    default: ""
  starting_port:
    description:
      - First port the ring listens on; counts up by rank, address and connection. With jaccl, rank 0 listens on it.
      - With V(auto), a range of ports is found that is free on every host, between 20000 and 32000.
    type: raw
    default: 32323
  connections_per_ip:
    description:
      - Connections between neighbours of the ring, per address.
    type: int
    default: 1
  nccl_port:
    description:
      - Port rank 0 listens on, with the backend nccl.
    type: int
    default: 12345
  mpirun:
    description:
      - Path of mpirun on the hosts, for the backend mpi.
      - Without it, mpirun beside the Python, in the environment for example, else Homebrew's or the system's.
    type: str
    default: ""
  verbose:
    description:
      - "Tell more: hosts as they become ready, process ids, the ring's own messages."
    type: bool
    default: false
  lease:
    description:
      - Seconds of silence after which a host, or the launcher, is given up.
    type: float
    default: 30.0
  connect_timeout:
    description:
      - Seconds a host may take until it is ready.
    type: float
    default: 30.0
  sync:
    description:
      - A job would bring its script and project to the hosts, so they are to have those of the controller.
      - A script that is not on the controller is taken for a path on the hosts.
    type: bool
    default: true
  project_dir:
    description:
      - Directory on the controller that goes to the hosts with the script in it.
      - What C(.gitignore) files name stays, as do C(.git), virtual environments and caches.
      - Without it, the script goes alone.
    type: path
    default: ""
  exclude:
    description:
      - Patterns, as in C(.gitignore), of what else stays on the controller.
    type: list
    elements: str
    default: []
  environment:
    description:
      - "Python environment to make on the hosts: a lock file with hashes (requirements format, or C(uv.lock) beside its
        C(pyproject.toml)), or V(copy) for the one that Ansible runs in."
      - Without it, ranks run with the Python of C(mlx_python) as it is.
    type: path
    default: ""
  wheelhouse:
    description:
      - Directory on the controller that is filled with the wheels of the lock and sent, for hosts that reach no index.
    type: path
    default: ""
  index_url:
    description:
      - Package index. Without it, what C(uv) or C(pip) is configured to use.
    type: str
    default: ""
  root:
    description:
      - Directory on the hosts for all that is deployed, the same on every host.
      - Without it, C(/Users/Shared/mlxlaunch) if all hosts are Macs, else C(/opt/mlxlaunch).
    type: str
    default: ""
  hostfile:
    description:
      - An MLX hostfile, as data, that says which hosts run which ranks. Its hosts must be in the inventory.
      - For programs that launch. Without it, ranks follow from the group and C(mlx_slots).
    type: raw
  control:
    description:
      - Path of a socket on the controller to which output and events go, and from which input and signals come.
      - For programs that launch. Without it, output goes to the terminal.
    type: path
  terminal:
    description:
      - Columns and lines of the terminal on which the job is watched.
      - For programs that launch. Without it, those of Ansible's own terminal, if it has one.
    type: list
    elements: int
attributes:
  action:
    support: full
    description: Has an action plugin, and consists of nothing else.
    details: What runs on the hosts is sent over one connection per host.
  async:
    support: none
    description: Supports being used with the C(async) keyword.
    details: The action is where the table is made.
  become:
    support: partial
    description: Is usable alongside become keywords.
    details: Only where the method asks for no password.
  bypass_host_loop:
    support: full
    description: Runs once, not once per host.
    details: Hosts are compared with each other, and connect to each other.
  check_mode:
    support: full
    description: Can run in check_mode and predict changes without making any.
    details: It never changes anything.
  connection:
    support: partial
    description: Uses each host's configured connection to execute code on it.
    details: Only ssh without a password, and local, can carry a live stream in both directions.
  diff_mode:
    support: none
    description: Returns details on what has changed, in diff mode.
    details: It never changes anything.
  platform:
    support: full
    platforms: macOS, Linux
    description: Target systems that can be operated against.
    details: Tested on Linux. What only macOS does is tested against recorded output of its commands.
seealso:
  - module: mlxlaunch.cluster.launch
    description: Launches the job.
"""

EXAMPLES = r"""
- name: See whether all Macs of the group are ready
  mlxlaunch.cluster.check:
    python: /opt/mlxlaunch/env/bin/python

- name: See whether they have this project and this environment
  mlxlaunch.cluster.check:
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

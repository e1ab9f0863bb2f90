# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: deploy
version_added: 1.0.0
short_description: Bring a Python environment and a project to all hosts, at one path
description:
  - Makes a Python environment and puts a script, or the directory around it, at the same path on all hosts of an
    inventory group, and proves that they are the same everywhere.
  - Paths are named by their content, so that a new version arrives while a job still runs with the old one. What is there
    already is not sent again; nothing half made is ever used.
  - One task serves all hosts, over the connection that Ansible is configured to use. Files travel by C(rsync), or as a
    stream of C(tar) to a host that has none.
author:
  - The mlxlaunch-ansible contributors (!UNKNOWN)
requirements:
  - Python 3.9 or newer on the hosts
  - C(pathspec) on the controller for projects with a C(.gitignore)
options:
  parts:
    description:
      - What to bring; each only where it is asked for by the other options.
    type: list
    elements: str
    choices: [environment, project]
    default: [environment, project]
  script:
    description:
      - Script on the controller.
    type: str
    default: ""
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
  keep:
    description:
      - Earlier environments and project versions that stay on the hosts.
    type: int
    default: 2
  python:
    description:
      - Python that the environment is made with, by path or by version such as V(3.12), for hosts without C(mlx_python).
      - Without it, the newest that a host has. All hosts have to come to exactly the same version.
    type: str
    default: ""
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
  control:
    description:
      - Path of the socket of the program that asks for this. Not for people.
    type: path
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
    details: Only where the method asks for no password.
  bypass_host_loop:
    support: full
    description: Runs once, not once per host.
    details: That all hosts have the same can only be told from all of them.
  check_mode:
    support: full
    description: Can run in check_mode and predict changes without making any.
  connection:
    support: partial
    description: Uses each host's configured connection to execute code on it.
    details: Only ssh without a password, and local.
  diff_mode:
    support: partial
    description: Returns details on what has changed, in diff mode.
    details: Names of files that are added, changed and removed.
  platform:
    support: full
    platforms: macOS, Linux
    description: Target systems that can be operated against.
    details: Tested on Linux. What only macOS does is tested against recorded output of its commands.
seealso:
  - module: mlxlaunch.cluster.launch
"""

EXAMPLES = r"""
- name: Make the environment of a lock file on all Macs of the group
  mlxlaunch.cluster.deploy:
    environment: requirements.lock
    python: "3.12"

- name: Bring a project to hosts that reach no package index
  mlxlaunch.cluster.deploy:
    script: llm/train.py
    project_dir: llm
    exclude: [data/, "*.safetensors"]
    environment: llm/uv.lock
    wheelhouse: wheelhouse
  register: deployed
"""

RETURN = r"""
returncode:
  description:
    - V(0), V(2) for a mistake in what was asked for, V(3) for a host out of reach or not ready, V(130) or V(143) when it
      was interrupted.
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
  sample: 4 hosts changed
problems:
  description: What went wrong, by host.
  returned: when the hosts were asked
  type: dict
  sample: {}
hosts_changed:
  description: What was brought, or would be in check mode, by host.
  returned: when the hosts were asked
  type: dict
  sample:
    studio-2: [project]
root:
  description: Directory for all of it on the hosts.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch
environment:
  description: Path of the environment on the hosts, or empty.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch/envs/0f3c9d2ab81e6c55
environment_digest:
  description: What proves that it is the same on all hosts. Covers Python's version, the platform, and every distribution and version.
  returned: when the hosts were asked
  type: str
  sample: 6f1d8c0e8f6f3c0a2f4bb52ea1cd0d0b6b5b6b7c6b4c6a1f0a4cfa20bb3b6b0e
python:
  description: Path of the environment's Python, or empty.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch/envs/0f3c9d2ab81e6c55/bin/python
project:
  description: Path of the project on the hosts, or empty.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch/projects/llm/5bd8e1f0c2a94b37
project_digest:
  description: What proves that it is the same on all hosts. Covers paths, modes and content.
  returned: when the hosts were asked
  type: str
  sample: 5bd8e1f0c2a94b372f4bb52ea1cd0d0b6b5b6b7c6b4c6a1f0a4cfa20bb3b6b0e
script:
  description: Path of the script on the hosts, or empty.
  returned: when the hosts were asked
  type: str
  sample: /Users/Shared/mlxlaunch/projects/llm/5bd8e1f0c2a94b37/train.py
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 1.2
"""

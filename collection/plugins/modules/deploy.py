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
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the hosts
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.project
  - mlxlaunch.cluster.project.root
  - mlxlaunch.cluster.job.control
  - mlxlaunch.cluster.attributes
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
  share:
    description:
      - Who else on a host may read what is deployed, V(private) for nobody.
      - It is the mode of the directories that environments and versions are in; files in them keep the modes they have here.
    type: str
    default: private
    choices: [private, group, world]
  python:
    description:
      - Python that the environment is made with, by path or by version such as V(3.12), for hosts without C(mlx_python).
      - Without it, the newest that a host has. All hosts have to come to exactly the same version.
    type: str
    default: ""
attributes:
  async:
    details: It tells what it waits for while it waits.
  bypass_host_loop:
    details: That all hosts have the same can only be told from all of them.
  diff_mode:
    support: partial
    details: Names of files that are added, changed and removed.
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
  description: What was brought, or would be in check mode, by host; C(access) when it was there, and who may read it has changed.
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

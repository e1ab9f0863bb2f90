# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: first_contact
version_added: 1.1.0
short_description: Make hosts reachable by ssh as a launch needs it
description:
  - Tries ssh to all hosts of a group at the same time, as a launch does, and changes nothing where that works.
  - A host's key that ssh does not know is compared with a given one (O(host_keys), or the variable C(mlx_prepare_host_key)
    of the host) and added to the user's known hosts. A key is never accepted without that, but for
    C(StrictHostKeyChecking=accept-new) in the user's configuration of ssh, and then it is told. A given key is compared
    where ssh knows one already, too.
  - Where the user's key is refused, it is installed with a password (C(-k), C(ansible_password)), and ssh without the
    password is tried then. A key is made only if ssh has none.
  - On a Mac without the command line tools, whose C(/usr/bin/python3) would open a dialog, they are installed by
    C(softwareupdate) as root.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.hosts.hostfile
  - mlxlaunch.cluster.job.control
  - mlxlaunch.cluster.attributes
options:
  apply:
    description:
      - Add host keys, install keys and tools. Otherwise nothing is changed, and the result says what would be.
    type: bool
    default: false
  contact:
    description:
      - Meet the hosts. Otherwise the task is skipped.
    type: bool
    default: true
  state:
    description:
      - O(state) of the M(mlxlaunch.cluster.prepare) that comes after this task, which is then skipped unless O(apply) is true and
        this is V(present).
      - Without it, hosts are met whatever comes after.
    type: str
    choices: [present, absent]
  host_keys:
    description:
      - By host, its public key as a line of its C(.pub) file, or the fingerprint of that as ssh shows it; or a list of these.
      - Jump hosts (C(ProxyJump)) by their names there.
    type: dict
    default: {}
  python:
    description:
      - Path of the Python of the ranks; the result says for each host whether it is there.
      - Without it, C(mlx_python) of the host, or the Python that runs Ansible.
    type: str
    default: ""
  trust_owner:
    description:
      - User on the hosts whose Python root may run too.
    type: str
    default: ""
attributes:
  async:
    details: The action has to show which hosts are in the way.
  bypass_host_loop:
    details: All hosts are met at the same time, and a jump host once for all behind it.
  check_mode:
    details: As without O(apply).
  diff_mode:
    support: none
    details: The result lists every change in words.
seealso:
  - module: mlxlaunch.cluster.check_info
    description: Shows whether the hosts are ready for a job.
"""

EXAMPLES = r"""
- name: Show which hosts ssh does not reach yet, and why
  mlxlaunch.cluster.first_contact:

- name: Let ssh know a host by its fingerprint, and install the user's key with the password of ansible-playbook -k
  mlxlaunch.cluster.first_contact:
    apply: true
    host_keys:
      mac-1: SHA256:HlQfYCnDwv8Tn0w2B2hRRG2eVnLwKzjH1kYc7oVXg2c
"""

RETURN = r"""
returncode:
  description:
    - V(0) when all hosts can be reached, V(2) for a mistake in the options or a key that nobody has confirmed, V(3) when a host
      is in the way, V(130) or V(143) when it was interrupted.
  returned: always
  type: int
  sample: 0
cause:
  description: V(ready), V(not_ready), V(interrupted), or V(skipped).
  returned: when the hosts were asked
  type: str
  sample: ready
message:
  description: A line for a person, for each host in trouble.
  returned: when the hosts were asked
  type: str
  sample: 2 hosts can be reached
hosts:
  description:
    - An entry for each host with C(host), C(state), C(text), C(user), C(key) (C(kind), C(fingerprint), C(known_as)) where ssh
      does not know it, C(done) with all that was changed, C(facts) of a host that is ready, and C(commands) for a person.
    - C(state) is V(ready), V(unknown key), V(wrong key), V(wants password), V(wrong password), V(unreachable) or V(no python).
  returned: when the hosts were asked
  type: list
  elements: dict
duration:
  description: Seconds it took.
  returned: when the hosts were asked
  type: float
  sample: 0.304
"""

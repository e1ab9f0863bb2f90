# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fetch
version_added: 1.1.0
short_description: Fetch files that a job has written to the controller
description:
  - Finds files on one host by name or glob, and brings those to the controller that are not there with the same content.
  - The host is not trusted. A name that it reports is taken only when it matches what was asked for and stays below
    O(to). Files are written through no link, each whole or not at all, and their digest is checked.
  - Directories get mode 0700. Files get mode 0600, or 0700 when they are executable on the host.
  - The content comes over the connection of the agent, in pieces, so that a file of any size takes little memory.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the host
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.attributes
options:
  patterns:
    description:
      - Names of files or globs, relative to O(cwd) or absolute.
      - C(*) and C(?) stand for anything within a name, and C(**) for any names, so that C(checkpoints/**) is all there is
        below a directory. A name that begins with a dot is found only by a part of a glob that does so.
      - A glob finds regular files, and follows no link. A name may be that of a link to a file. Links must not lead out of
        O(cwd), or for an absolute path, out of the last directory before the first glob.
    type: list
    elements: str
    required: true
  to:
    description:
      - Directory on the controller; it is made when it is not there. A relative path counts from the directory that Ansible
        was started in. One of the default name that is made is no part of a project that it is in, and is not sent to hosts.
      - A file below O(cwd) keeps its place there, any other keeps its whole path.
    type: str
    default: fetched
  cwd:
    description:
      - Working directory of the job on the host, as C(mlxlaunch.cluster.launch) returns it; needed for relative patterns.
    type: str
    default: ""
  host:
    description:
      - Inventory name of the host. Without it, the first host of the group.
    type: str
    default: ""
  group:
    description:
      - Inventory group whose first host is taken when O(host) is not set.
attributes:
  async:
    details: It reports progress while it works.
  become:
    details: Only where the method asks for no password. Files on the controller are written as the user who runs Ansible.
  bypass_host_loop:
    details: One task fetches from one host, and its result is that of the first host of the play.
  diff_mode:
    support: partial
    details: Names of files that are added or changed.
seealso:
  - module: mlxlaunch.cluster.launch
"""

EXAMPLES = r"""
- name: Train
  mlxlaunch.cluster.launch:
    script: train.py
  register: job

- name: Fetch the weights
  mlxlaunch.cluster.fetch:
    patterns: ["checkpoints/**", "metrics.json"]
    to: results
    cwd: "{{ job.cwd }}"
    host: "{{ job.ranks[0].host }}"
  # In check mode there is no job that could have written them.
  when: not ansible_check_mode
"""

RETURN = r"""
returncode:
  description:
    - V(0), V(2) for a mistake in what was asked for, V(3) when a file could not be fetched, V(130) or V(143) when it was
      interrupted.
  returned: always
  type: int
  sample: 0
cause:
  description: How it ended, in one word.
  returned: when the host was asked
  type: str
  sample: fetched
message:
  description: The same for a person.
  returned: when the host was asked
  type: str
  sample: 1 of 2 files, 3.2 MB, fetched from studio-1 to /home/me/results
host:
  description: Inventory name of the host.
  returned: when the host was asked
  type: str
  sample: studio-1
to:
  description: Path of the directory on the controller.
  returned: when the host was asked
  type: str
  sample: /home/me/results
files:
  description: The files that were found.
  returned: when the host was asked
  type: list
  elements: dict
  contains:
    path:
      description: Path on the host.
      type: str
      sample: /opt/job/metrics.json
    dest:
      description: Path on the controller.
      type: str
      sample: /home/me/results/metrics.json
    size:
      description: Bytes.
      type: int
      sample: 512
    changed:
      description: Whether it was fetched, or would be in check mode.
      type: bool
      sample: true
bytes:
  description: Bytes that were fetched, or would be in check mode.
  returned: when the host was asked
  type: int
  sample: 3211264
duration:
  description: Seconds it took.
  returned: when the host was asked
  type: float
  sample: 1.2
"""

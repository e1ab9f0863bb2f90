# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = """
name: hostfile
version_added: 1.0.0
short_description: Render an MLX hostfile from inventory
description:
  - Turns inventory hosts, in order, into an MLX JSON hostfile.
  - Rank is position; a host with several slots (C(mlx_slots)) stands in it several times.
  - A host is named as C(ssh) reaches it, C(ansible_user@ansible_host). What else Ansible is told about the way there,
    such as a port, a key or a jump host, has to be in the configuration of C(ssh) itself.
  - A host with a local connection is called C(127.0.0.1), for which C(mlx.launch) starts a local process.
positional: _input
options:
  _input:
    description: Inventory host names, in rank order.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
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
      - Environment variables to write into the V(object) schema.
      - Not those of C(mlx_env) unless they are given here, since a hostfile is no place for secrets.
    type: dict
    default: {}
  ranks:
    description:
      - Hostfile data that says which rank is on which of the hosts, as the inventory plugin sets C(mlx_hostfile).
      - Without it, the ranks of a host follow each other.
    type: raw
    default: []
  format:
    description: V(data) for lists and dictionaries, V(text) for the text of the file, one line per rank.
    type: str
    choices: [data, text]
    default: data
  limit:
    description: Names of those of the hosts that are to stand in it, with the RDMA devices that lead to one another. Default all.
    type: list
    elements: str
seealso:
  - plugin: mlxlaunch.cluster.mlx_hostfile
    plugin_type: inventory
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
"""

EXAMPLES = """
- name: Write the hostfile
  ansible.builtin.copy:
    content: "{{ groups['mlx'] | mlxlaunch.cluster.hostfile(hostvars, format='text') }}"
    dest: hosts.json
    mode: "0644"
  delegate_to: localhost
  run_once: true

- name: Show its newer schema
  ansible.builtin.debug:
    msg: "{{ groups['mlx'] | mlxlaunch.cluster.hostfile(hostvars, schema='object', backend='ring', env={'HF_HOME': '/opt/hf'}) }}"
  run_once: true
"""

RETURN = """
_value:
  description: The hostfile, as data or as text.
  type: raw
"""

from ansible.errors import AnsibleFilterError

from ..plugin_utils.deploy.hostfile_render import check_choice, render_hostfile
from ..plugin_utils.job.errors import LaunchError


def hostfile(names, hostvars, schema="list", backend="auto", env=None, ranks=None, format="data", limit=None):
    """Return the hostfile of inventory hosts."""
    try:
        check_choice("schema", schema, ("list", "object"))
        check_choice("format", format, ("data", "text"))
        made = render_hostfile(names, hostvars, ranks=ranks, backend=backend, env=env, limit=limit)
    except LaunchError as exc:
        raise AnsibleFilterError(str(exc)) from None
    return made.render(schema) if format == "text" else made.data(schema)


class FilterModule:
    """Filters of this collection."""

    def filters(self):
        """Return them by name."""
        return {"hostfile": hostfile}

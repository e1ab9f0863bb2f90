# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = """
name: hostfile
version_added: 1.0.0
short_description: Render an MLX hostfile from inventory
description:
  - Turns inventory hosts, in order, into the structure of an MLX JSON hostfile.
  - Rank is position; a host with several slots stands in it several times.
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
    description: Backend to write into the V(object) schema.
    type: str
    default: ""
author:
  - The mlxlaunch-ansible contributors (!UNKNOWN)
"""

EXAMPLES = """
- name: Write the hostfile
  ansible.builtin.copy:
    content: "{{ groups['mlx'] | mlxlaunch.cluster.hostfile(hostvars) | to_nice_json }}"
    dest: hosts.json
    mode: "0644"
  delegate_to: localhost
"""

RETURN = """
_value:
  description: The hostfile as data.
  type: raw
"""

import json

from ansible.errors import AnsibleFilterError

from ..plugin_utils._errors import LaunchError
from ..plugin_utils._hostfile import Entry, Hostfile
from ..plugin_utils._launch import resolve_ipv4
from ..plugin_utils._plan import host_settings, places


def hostfile(names, hostvars, schema="list", backend=""):
    """Return the hostfile structure of inventory hosts."""
    if schema not in ("list", "object"):
        raise AnsibleFilterError(f"hostfile: schema {schema!r}: want list or object")
    try:
        hosts = [host_settings(name, hostvars[name], {}, hostvars[name].get("ansible_connection") == "local") for name in names]
        addresses = {host.name: host.address for host in hosts}
        entries = tuple(Entry(addresses[name], ips) for name, ips in places(hosts, resolve_ipv4))
    except LaunchError as exc:
        raise AnsibleFilterError(str(exc)) from None
    return json.loads(Hostfile(entries, backend).render(schema))


class FilterModule:
    """Filters of this collection."""

    def filters(self):
        """Return them by name."""
        return {"hostfile": hostfile}

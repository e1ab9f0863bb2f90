# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = """
name: mlx_hostfile
version_added: 1.0.0
short_description: Read an MLX hostfile as inventory
description:
  - Reads the JSON hostfile of C(mlx.launch), in either schema, so that C(ansible-playbook -i hosts.json) works with it.
  - Its hosts become the group C(mlx), in the order of their first ranks. An inventory name is what stands under C(ssh);
    of C(user@host) the parts become C(ansible_user) and C(ansible_host). C(127.0.0.1) is this machine, as for C(mlx.launch),
    and gets a local connection.
  - C(ips) becomes C(mlx_ips), C(rdma) becomes C(mlx_rdma), and a host that stands there several times has C(mlx_slots).
  - Where its ranks do not follow each other, or differ in their addresses, the group variable C(mlx_hostfile) tells
    M(mlxlaunch.cluster.launch) which rank is where, and no part of the hosts can be launched alone (C(--limit)).
  - Of the newer schema, C(backend) and C(envs) become the group variables C(mlx_backend) and C(mlx_env). The latter is
    C(mlx_hostfile_env), too, so that a hostfile made from this inventory has them again.
  - Variables can be added as with any other inventory, in C(group_vars/mlx.yml) beside the file.
notes:
  - Has to be enabled, before C(yaml), which takes the newer schema for a set of groups. See the first example.
  - Only a file whose name ends in C(.json) and which has the form of a hostfile is taken; other JSON is left to other plugins.
  - A hostfile with a mistake ends Ansible with one message. As a mere warning it would not be seen, since another
    plugin reads the newer schema as an inventory without hosts.
options: {}
seealso:
  - plugin: mlxlaunch.cluster.hostfile
    plugin_type: filter
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
"""

EXAMPLES = """
# ansible.cfg
# [inventory]
# enable_plugins = mlxlaunch.cluster.mlx_hostfile, host_list, script, auto, yaml, ini, toml

# ansible-playbook -i hosts.json mlxlaunch.cluster.launch -e mlx_script=/opt/train.py
# ansible-inventory -i hosts.json --list

# hosts.json, the older schema
[
  {"ssh": "studio-1.local", "ips": ["10.0.0.1"]},
  {"ssh": "mlx@studio-2.local", "ips": ["10.0.0.2", "10.0.1.2"]}
]

# hosts.json, the newer schema
# {
#   "backend": "ring",
#   "envs": ["HF_HOME=/Users/Shared/huggingface"],
#   "hosts": [
#     {"ssh": "studio-1.local", "ips": ["10.0.0.1"], "rdma": [null, "rdma_en2"]},
#     {"ssh": "studio-2.local", "ips": ["10.0.0.2"], "rdma": ["rdma_en2", null]}
#   ]
# }
"""

import json
import re
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.release import __version__ as CORE
from ansible.utils.display import Display

from ..plugin_utils.job.errors import UsageError
from ..plugin_utils.job.hostfile import parse_hostfile
from ..plugin_utils.job.version import is_too_old, other_core
from ..plugin_utils.plan.inventory import group_variables, host_variables

GROUP = "mlx"
_KEYS = frozenset({"ssh", "ips", "rdma"})
#: JSON with a mistake that was meant to be a hostfile: a list, or an object with a list of hosts, of objects with "ssh".
_MEANT = re.compile(r'\s*(\[\s*|\{.*?"hosts"\s*:\s*\[\s*)\{\s*"(ssh|ips|rdma)"\s*:', re.DOTALL)
_EXIT_STATUS = 4  # Ansible's for what it cannot parse


class InventoryModule(BaseInventoryPlugin):
    """Hosts, their addresses and slots from an MLX hostfile."""

    NAME = "mlxlaunch.cluster.mlx_hostfile"

    def verify_file(self, path):
        """Return whether this is a hostfile, good or bad."""
        return path.endswith(".json") and super().verify_file(path) and _is_hostfile(_read(path))

    def parse(self, inventory, loader, path, cache=True):
        """Put the hostfile at `path` into the inventory; leave when it is a bad one."""
        super().parse(inventory, loader, path, cache)
        try:
            if is_too_old(CORE):  # it would evaluate templates in a hostfile
                raise UsageError(other_core(CORE))
            hostfile = parse_hostfile(_read(path), path)
        except UsageError as exc:
            Display().error(str(exc), wrap_text=False)
            raise SystemExit(_EXIT_STATUS) from None
        self._add(hostfile)

    def _add(self, hostfile):
        self.inventory.add_group(GROUP)
        for name, value in group_variables(hostfile).items():
            self.inventory.set_variable(GROUP, name, value)
        for host, variables in host_variables(hostfile).items():
            self.inventory.add_host(host, group=GROUP)
            for name, value in variables.items():
                self.inventory.set_variable(host, name, value)


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        raise AnsibleParserError(f"{path}: cannot be read: {exc}") from None


def _is_hostfile(text):
    """Return whether the data are a list, or an object with a list "hosts", of objects as in a hostfile."""
    if not any(f'"{key}"' in text for key in _KEYS):
        return False
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return bool(_MEANT.match(text))
    hosts = data.get("hosts") if isinstance(data, dict) else data
    return isinstance(hosts, list) and any(isinstance(host, dict) and _KEYS & host.keys() for host in hosts)

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: from a hostfile to inventory variables, and back. Pure, but for asking for addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._backends import AUTO, check_env, parse_env
from ._errors import UsageError
from ._hostfile import Entry, Hostfile, check_host_name, hostfile_from_data
from ._plan import HostSettings, Resolve, host_settings, places, ring_addresses

#: The name for which mlx.launch starts a local process. Any other name, localhost too, is for ssh.
LOCALHOST = "127.0.0.1"


def connection_variables(ssh: str) -> dict[str, str]:
    """Return how Ansible reaches the host that a hostfile calls `ssh`, which may be `user@host`."""
    if ssh == LOCALHOST:
        return {"ansible_connection": "local"}
    user, _at, address = ssh.rpartition("@")
    return {"ansible_host": address, "ansible_user": user} if user else {"ansible_host": address}


def host_variables(hostfile: Hostfile) -> dict[str, dict[str, Any]]:
    """Return the variables of each host of a hostfile, in the order of their first ranks."""
    found = {}
    for entry in hostfile.entries:
        if entry.ssh not in found:
            slots = sum(other.ssh == entry.ssh for other in hostfile.entries)
            found[entry.ssh] = connection_variables(entry.ssh) | _own(entry, slots)
    return found


def _own(entry: Entry, slots: int) -> dict[str, Any]:
    own: dict[str, Any] = {"mlx_ips": list(entry.ips)} if entry.ips else {}
    if slots > 1:
        own["mlx_slots"] = slots
    if entry.rdma:
        own["mlx_rdma"] = list(entry.rdma)
    return own


def group_variables(hostfile: Hostfile) -> dict[str, Any]:
    """Return what a hostfile says about all of its hosts.

    `mlx_hostfile` is among it only where variables of hosts cannot tell which rank is where: when the ranks of a
    host do not stand in a row, or are not alike.
    """
    found: dict[str, Any] = {}
    if hostfile.backend:
        found["mlx_backend"] = hostfile.backend
    if hostfile.envs:
        env = parse_env(hostfile.envs, "hostfile: envs")
        found |= {"mlx_env": env, "mlx_hostfile_env": env}
    in_a_row = {entry.ssh: [other for other in hostfile.entries if other.ssh == entry.ssh] for entry in hostfile.entries}
    alike = all(entry == ranks[0] for ranks in in_a_row.values() for entry in ranks)
    if not alike or [entry for ranks in in_a_row.values() for entry in ranks] != list(hostfile.entries):
        found["mlx_hostfile"] = hostfile.data("list")
    return found


def hostfile_from_inventory(
    names: Sequence[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    resolve: Resolve,
    *,
    ranks: Any = None,
    backend: str = "",
    env: Mapping[str, object] | None = None,
) -> Hostfile:
    """Return the hostfile of inventory hosts, a rank per entry, as a launch would number them.

    Args:
        names: inventory names, in order.
        hostvars: the variables of each.
        resolve: name to IPv4 addresses; raises OSError.
        ranks: hostfile data that says which rank is where (`mlx_hostfile`); else each host's slots are in a row.
        backend, env: for the newer schema.

    Raises:
        UsageError: naming host and variable.
    """
    hosts = {name: _settings(name, hostvars[name]) for name in names}
    if ranks:
        entries = [_placed(entry, hosts, resolve) for entry in hostfile_from_data(ranks, "mlx_hostfile").entries]
    else:
        entries = [Entry(*place) for place in places(list(hosts.values()), resolve)]
    entries = [Entry(ssh_name(hosts[entry.ssh], hostvars[entry.ssh]), entry.ips, entry.rdma) for entry in entries]
    envs = tuple(f"{name}={value}" for name, value in check_env(env or {}, "mlx_hostfile_env").items())
    made = Hostfile(tuple(entries), "" if backend == AUTO else backend, envs)
    hostfile_from_data(made.data())  # whoever reads it will check as much: better told now
    return made


def _settings(name: str, variables: Mapping[str, Any]) -> HostSettings:
    check_host_name(name, "inventory")
    return host_settings(name, variables, {}, variables.get("ansible_connection") in ("local", "ansible.builtin.local"))


def _placed(entry: Entry, hosts: Mapping[str, HostSettings], resolve: Resolve) -> Entry:
    if entry.ssh not in hosts:
        raise UsageError(f"mlx_hostfile: {entry.ssh} is not among the hosts: {', '.join(hosts)}")
    return entry if entry.ips else Entry(entry.ssh, ring_addresses(hosts[entry.ssh], resolve), entry.rdma)


def ssh_name(host: HostSettings, variables: Mapping[str, Any]) -> str:
    """Return what mlx.launch gives to ssh. Port, key and jump host have no place there; they belong into ssh's configuration."""
    if host.local:
        return LOCALHOST
    user = variables.get("ansible_user")
    return f"{user}@{host.address}" if user and "@" not in host.address else host.address

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory variables from a hostfile, and a hostfile from an inventory. Pure, but for asking for addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..job.backend_names import AUTO
from ..job.env import check_env, parse_env
from ..job.errors import UsageError
from ..job.host_settings import HostSettings, Resolve, host_settings, ring_addresses
from ..job.hostfile import Entry, Hostfile, check_host_name, hostfile_from_data

#: The name for which mlx.launch starts a local process. Any other name, localhost too, is for ssh.
LOCALHOST = "127.0.0.1"


def connection_variables(ssh: str) -> dict[str, str]:
    """Return the variables by which Ansible reaches the host that a hostfile calls `ssh`, perhaps `user@host`."""
    if ssh == LOCALHOST:
        return {"ansible_connection": "local"}
    user, _at, address = ssh.rpartition("@")
    return {"ansible_host": address, "ansible_user": user} if user else {"ansible_host": address}


#: Variables by which a host is reached and that hold no secret: a key's path is none, its content would be.
_REACHED_BY = frozenset(
    [
        *("ansible_connection", "ansible_host", "ansible_port", "ansible_user"),
        *("ansible_ssh_host", "ansible_ssh_port", "ansible_ssh_user"),
        *("ansible_ssh_private_key_file", "ansible_private_key_file", "ansible_python_interpreter"),
        *("ansible_become", "ansible_become_user", "ansible_become_method", "mlx_python"),
    ]
)
# All others about a connection: a proxy's command line, for example, may have a password in it.
_ABOUT_REACHING = ("ansible_ssh_", "ansible_become_", "ansible_host_key_")
_FACT = "ansible_ssh_host_key_"  # what Ansible's setup module found out; it reaches nothing


def reach_record(variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what reaches hosts, for the record of a job whose inventory is in no file.

    Args:
        variables: of each host, by name.

    Returns {hosts: {host: variables}, not_recorded: names of variables that count too, and may be secret}.
    """
    about = {name for own in variables.values() for name in own if name.startswith(_ABOUT_REACHING) and not name.startswith(_FACT)}
    hosts = {host: {name: _plain(own[name]) for name in sorted(_REACHED_BY & set(own))} for host, own in variables.items()}
    return {"hosts": hosts, "not_recorded": sorted(about - _REACHED_BY)}


def _plain(value: Any) -> Any:
    """Return a value without what Ansible attaches to texts."""
    return str(value) if isinstance(value, str) else value


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
    """Return the variables that a hostfile sets for all of its hosts.

    `mlx_hostfile` is among them only where variables of hosts cannot place the ranks: when those of a host do not
    stand in a row, or are not alike.
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
    user: str = "",
) -> Hostfile:
    """Return the hostfile of inventory hosts, a rank per entry, as a launch would number them.

    Args:
        names: inventory names, in order.
        hostvars: the variables of each.
        resolve: name to IPv4 addresses; raises OSError.
        ranks: hostfile data that says which rank is where (`mlx_hostfile`); else each host's slots are in a row.
        backend, env: for the newer schema.
        user: the one who logs in where a host's variables name nobody.

    Raises:
        UsageError: naming host and variable.
    """
    hosts = {name: _settings(name, hostvars[name]) for name in names}
    if ranks:
        entries = [_placed(entry, hosts, resolve) for entry in hostfile_from_data(ranks, "mlx_hostfile").entries]
    else:
        entries = [Entry(host.name, ring_addresses(host, resolve), host.rdma) for host in hosts.values() for _slot in range(host.slots)]
    entries = [Entry(ssh_name(hosts[entry.ssh], hostvars[entry.ssh], user), entry.ips, entry.rdma) for entry in entries]
    envs = tuple(f"{name}={value}" for name, value in check_env(env or {}, "mlx_hostfile_env").items())
    made = Hostfile(tuple(entries), "" if backend == AUTO else backend, envs)
    hostfile_from_data(made.data())  # its reader will check as much: better to fail now
    return made


def _settings(name: str, variables: Mapping[str, Any]) -> HostSettings:
    check_host_name(name, "inventory")
    return host_settings(name, variables, {}, variables.get("ansible_connection") in ("local", "ansible.builtin.local"))


def _placed(entry: Entry, hosts: Mapping[str, HostSettings], resolve: Resolve) -> Entry:
    if entry.ssh not in hosts:
        raise UsageError(f"mlx_hostfile: {entry.ssh} is not among the hosts: {', '.join(hosts)}")
    return entry if entry.ips else Entry(entry.ssh, ring_addresses(hosts[entry.ssh], resolve), entry.rdma)


def ssh_name(host: HostSettings, variables: Mapping[str, Any], user: str = "") -> str:
    """Return the name that mlx.launch gives to ssh. Port, key and jump host belong into ssh's configuration.

    Args:
        host: its settings.
        variables: its variables; of the two names of one, the older counts for more, as for Ansible.
        user: the one who logs in where they name nobody.
    """
    if host.local:
        return LOCALHOST
    user = variables.get("ansible_ssh_user") or variables.get("ansible_user") or user
    return f"{user}@{host.address}" if user and "@" not in host.address else host.address

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MLX hostfile, in both schemas. Pure: text in, values out.

The schemas are those of `mlx.launch` 0.32 (mlx/_distributed_utils/common.py): a bare list of hosts, or an
object with `backend`, `envs` and `hosts`. Rank = position in the list; a host may stand in it several times.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...module_utils.shared.addresses import is_ip
from .env import parse_env
from .errors import UsageError


@dataclass(frozen=True)
class Entry:
    """One rank's line of a hostfile: the name to ssh to, the IPv4 addresses it listens on, and its RDMA devices."""

    ssh: str
    ips: tuple[str, ...] = ()
    rdma: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Hostfile:
    """A hostfile: entries in rank order, the backend it asks for ("" for none), and environment variables."""

    entries: tuple[Entry, ...]
    backend: str = ""
    envs: tuple[str, ...] = ()

    def limited(self, hosts: Collection[str]) -> Hostfile:
        """Return the hostfile of only these hosts, and of their RDMA devices those that lead to one another."""
        kept = [at for at, entry in enumerate(self.entries) if entry.ssh in hosts]

        def cut(entry: Entry) -> Entry:
            complete = len(entry.rdma) == len(self.entries)
            return replace(entry, rdma=tuple(entry.rdma[at] for at in kept)) if complete else entry

        return replace(self, entries=tuple(cut(self.entries[at]) for at in kept))

    def data(self, schema: str = "object") -> Any:
        """Return the file's content as lists and dictionaries.

        Args:
            schema: `list` for the bare list that every version of MLX reads, `object` for the newer one.
        """
        hosts = [_render_entry(entry) for entry in self.entries]
        return hosts if schema == "list" else {"backend": self.backend, "envs": list(self.envs), "hosts": hosts}

    def render(self, schema: str = "object") -> str:
        """Return the file's text, one line per rank; see `data`."""
        hosts = [_to_json(_render_entry(entry)) for entry in self.entries]
        if schema == "list":
            return "[\n" + ",\n".join(f"  {host}" for host in hosts) + "\n]\n"
        lines = ",\n".join(f"    {host}" for host in hosts)
        return f'{{\n  "backend": {_to_json(self.backend)},\n  "envs": {_to_json(self.envs)},\n  "hosts": [\n{lines}\n  ]\n}}\n'


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _render_entry(entry: Entry) -> dict[str, Any]:
    rendered: dict[str, Any] = {"ssh": entry.ssh, "ips": list(entry.ips)}
    if entry.rdma:
        rendered["rdma"] = list(entry.rdma)
    return rendered


def parse_hostfile(text: str, name: str = "hostfile") -> Hostfile:
    """Return the hostfile that a text describes.

    Args:
        text: the file's content, either schema.
        name: name of the file in messages, usually its path.

    Raises:
        UsageError: naming the file, the host (by position) and the field that is wrong.
    """
    try:
        data = json.loads(text.removeprefix("\ufeff"))  # as editors on Windows write it
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{name}: not JSON: {exc}") from None
    return hostfile_from_data(data, name)


def hostfile_from_data(data: Any, name: str = "hostfile") -> Hostfile:
    """Return the hostfile that parsed JSON (a list, or an object with `hosts`) describes; see `parse_hostfile`."""
    if isinstance(data, list):
        data = {"hosts": data}
    if not isinstance(data, Mapping) or not isinstance(data.get("hosts"), list):
        raise UsageError(f'{name}: want a list of hosts, or an object with "hosts"')
    if not data["hosts"]:
        raise UsageError(f"{name}: no hosts")
    entries = tuple(_parse_entry(item, f"{name}: host {at}") for at, item in enumerate(data["hosts"]))
    _refuse_shared_addresses(entries, name)
    backend = _or_default(data.get("backend"), "")
    if not isinstance(backend, str):
        raise UsageError(f"{name}: backend: want a name, not {backend!r}")
    envs = _or_default(data.get("envs"), [])
    if not isinstance(envs, list) or not all(isinstance(item, str) for item in envs):
        raise UsageError(f'{name}: envs: want a list of "NAME=VALUE"')
    parse_env(envs, f"{name}: envs")
    return Hostfile(entries, backend, tuple(envs))


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _refuse_shared_addresses(entries: Sequence[Entry], name: str) -> None:
    owner: dict[str, int] = {}
    for at, entry in enumerate(entries):
        for ip in entry.ips:
            first = owner.setdefault(ip, at)
            if entries[first].ssh != entry.ssh:
                other = f"host {first} ({entries[first].ssh})"
                raise UsageError(f"{name}: host {at} ({entry.ssh}): ips: {ip} is an address of {other} already; each host needs its own")


def _parse_entry(item: Any, where: str) -> Entry:
    if not isinstance(item, Mapping):
        raise UsageError(f'{where}: want an object with "ssh" and "ips", not {item!r}')
    if not isinstance(item.get("ssh"), str):
        raise UsageError(f'{where}: "ssh" is missing: the name or address to reach the host by')
    ssh = _check_ssh_name(item["ssh"], f"{where}: ssh")
    ips = _or_default(item.get("ips"), [])
    if isinstance(ips, str) or not isinstance(ips, Sequence):
        raise UsageError(f"{where} ({ssh}): ips: want a list of IPv4 addresses, not {ips!r}")
    rdma = _or_default(item.get("rdma"), [])
    if not isinstance(rdma, list):
        raise UsageError(f"{where} ({ssh}): rdma: want a list, not {rdma!r}")
    return Entry(ssh, tuple(check_ipv4(ip, f"{where} ({ssh}): ips") for ip in ips), tuple(rdma))


def check_host_name(name: str, where: str) -> str:
    """Return `name` when it can safely stand on an ssh command line, else raise UsageError at `where`."""
    if not name:
        raise UsageError(f"{where}: a host name cannot be empty")
    if name.startswith("-"):
        raise UsageError(f"{where}: {name!r} begins with '-': ssh would take it for an option")
    if any(char.isspace() or not char.isprintable() for char in name):
        raise UsageError(f"{where}: {name!r} contains white space or a control character")
    if set("{}") & set(name):
        raise UsageError(f"{where}: {name!r} contains a brace, which no host name has, and a template would")
    return name


def _check_ssh_name(name: str, where: str) -> str:
    """Return `name` when it is one that ssh is given, else raise UsageError: Ansible would read more into it."""
    if set("[]") & set(name):
        raise UsageError(f"{where}: {name!r} contains a bracket; name each host, and an IPv6 address without brackets")
    if name.count(":") == 1:
        raise UsageError(f"{where}: {name!r}: a port belongs into ~/.ssh/config, or is ansible_port in an inventory")
    return check_host_name(name, where)


def check_ipv4(ip: Any, where: str) -> str:
    """Return `ip` when it is a literal IPv4 address, else raise UsageError at `where`.

    MLX's ring splits an address at its first colon and opens IPv4 sockets only (mlx/distributed/ring/ring.cpp).
    """
    try:
        address = ipaddress.ip_address(ip) if isinstance(ip, str) else None
    except ValueError:
        address = None
    if address is None:
        raise UsageError(f"{where}: {ip!r} is not an IPv4 address; write it as numbers, such as 10.0.0.7")
    if address.version == 6:
        raise UsageError(f"{where}: {ip} is IPv6, which MLX's ring cannot use; give the host's IPv4 address")
    return str(address)


def hostfile_from_names(names: Iterable[str], repeat: int = 1) -> Hostfile:
    """Return the hostfile that `--hosts a,b --repeat-hosts N` means: each name `repeat` times in a row.

    An address is also where its rank listens; a name leaves that to be resolved at launch.
    """
    entries = []
    for name in names:
        _check_ssh_name(name, "--hosts")
        ips = (check_ipv4(name, "--hosts"),) if is_ip(name) else ()
        entries += [Entry(name, ips)] * repeat
    if not entries:
        raise UsageError("--hosts: no hosts")
    return Hostfile(tuple(entries))

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one host, from its inventory variables, and the addresses of its ranks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...module_utils.shared.addresses import is_ip
from .errors import UsageError
from .hostfile import check_ipv4
from .rank_table import ALL, FIRST, RankPlace
from .settings import BY_NAME, check_slots, check_value
from .structured import structured

Resolve = Callable[[str], list[str]]


@dataclass(frozen=True)
class HostSettings:
    """The settings of one host.

    Attributes:
        name: its inventory name.
        address: name or address to reach it by.
        ips: IPv4 addresses its ranks listen on; empty when its address is to be resolved.
        slots: ranks it takes.
        python: path of Python there, or empty for the default.
        env: environment variables for its ranks.
        local: whether it is this machine, without ssh.
        rdma: RDMA devices to each rank, one entry a rank.
    """

    name: str
    address: str
    ips: tuple[str, ...] = ()
    slots: int = 1
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
    rdma: tuple[Any, ...] = ()


_ASKING = "set mlx_ips (a launch asks the host itself, and so does mlxlaunch network --output-hostfile FILE)"


def host_settings(name: str, variables: Mapping[str, Any], env: Mapping[str, str], local: bool) -> HostSettings:
    """Return a host's settings from its inventory variables.

    Raises:
        UsageError: naming host and variable.
    """
    slots = variables.get("mlx_slots")
    return HostSettings(
        name=name,
        address=address_of(name, variables),
        ips=_ips(variables.get("mlx_ips"), f"{name}: mlx_ips"),
        slots=check_slots(1 if slots is None else slots, name),
        python=check_value(BY_NAME["python"], variables.get("mlx_python"), f"{name}: mlx_python"),
        env=env,
        local=local,
        rdma=_rdma(variables.get("mlx_rdma"), f"{name}: mlx_rdma"),
    )


def address_of(name: str, variables: Mapping[str, Any]) -> str:
    """Return the address of a host as Ansible takes it: the older name of the variable is the stronger one."""
    return str(variables.get("ansible_ssh_host") or variables.get("ansible_host") or name)


def _ips(value: Any, where: str) -> tuple[str, ...]:
    found = structured(value, "mlx_ips", where) or ()
    if isinstance(found, str):
        found = [part for part in found.replace(",", " ").split() if part]
    if not isinstance(found, Sequence):
        raise UsageError(f"{where}: want a list of IPv4 addresses, not {found!r}")
    return tuple(check_ipv4(ip, where) for ip in found)


def _rdma(value: Any, where: str) -> tuple[Any, ...]:
    """Return a host's RDMA devices as plain values; `check_rdma` checks them where a backend uses them."""
    found = structured(value, "mlx_rdma", where)
    if found not in (None, "") and not isinstance(found, (list, tuple)):
        raise UsageError(f"{where}: want a list of devices, one per rank, not {found!r}")
    return tuple(list(entry) if isinstance(entry, (list, tuple)) else entry for entry in found or ())


def ring_addresses(host: HostSettings, resolve: Resolve) -> tuple[str, ...]:
    """Return the addresses a host's ranks listen on: mlx_ips, else its own address if that is, or resolves to, IPv4.

    Args:
        host: the host.
        resolve: gives the IPv4 addresses of a name; raises OSError.

    Raises:
        UsageError: no address is known; names the variable to set.
    """
    if host.ips:
        return host.ips
    address = host.address.rpartition("@")[2]
    if is_ip(address):
        return (check_ipv4(address, f"{host.name}: ansible_host (set mlx_ips)"),)
    try:
        found = resolve(address)
    except OSError as exc:
        found = []
        reason = str(exc.strerror or exc)
    else:
        reason = "no IPv4 address"
    if not found:
        if host.local:
            return ("127.0.0.1",)
        raise UsageError(f"{host.name}: cannot tell its IPv4 address: {address}: {reason}; {_ASKING}")
    return (found[0],)


def rank_addresses(host: HostSettings, rank: int, resolve: Resolve, wanted: str = ALL) -> tuple[str, ...]:
    """Return the addresses a rank listens on; none when they are unknown and the backend does not need them.

    Args:
        host: the rank's host.
        rank: its number.
        resolve: as for `ring_addresses`; not called for a host that is asked, see `stand_in`.
        wanted: whose addresses the backend uses: those of ALL ranks, of the FIRST, or of NONE.
    """
    needed = is_needed(rank, wanted)
    if needed and is_asked(host):
        return (stand_in(host),)
    try:
        return ring_addresses(host, resolve if needed or rank == 0 else _no_names)
    except UsageError:
        if needed:
            raise
        return ()


def is_needed(rank: int, wanted: str) -> bool:
    """Return whether the backend uses the addresses of a rank."""
    return wanted == ALL or (wanted == FIRST and rank == 0)


def is_asked(host: HostSettings) -> bool:
    """Return whether a host is asked for its address: what ssh reaches by a name, or by IPv6, is not known here."""
    return not host.ips and not host.local


def stand_in(host: HostSettings) -> str:
    """Return what stands for the address of a host that is asked: the IPv4 address it is known by, else <its name>."""
    address = host.address.rpartition("@")[2]
    return check_ipv4(address, host.name) if is_ip(address) and ":" not in address else f"<{host.name}>"


def _no_names(_name: str) -> list[str]:
    """Resolve nothing: an address that nobody needs is not worth a wait."""
    return []


def with_slots(hosts: Sequence[HostSettings], slots: int) -> list[HostSettings]:
    """Return hosts with the number of ranks that a command line gives each of them, 0 for none.

    Raises:
        UsageError: the inventory gives one of them another number.
    """
    for host in hosts:
        if slots and host.slots not in (1, slots):
            raise UsageError(f"{host.name}: mlx_slots is {host.slots}, and -n (--repeat-hosts) says {slots}; leave one of them out")
    return [replace(host, slots=slots) for host in hosts] if slots else list(hosts)


def limited(host: HostSettings, members: Sequence[str], chosen: Sequence[str]) -> HostSettings:
    """Return a host of a group of which only some take part: of its RDMA devices, those that lead to these.

    Args:
        host: one of them.
        members: the whole group, in rank order, as the devices are listed.
        chosen: those that take part.
    """
    return replace(host, rdma=limited_devices(host.rdma, members, chosen))


def limited_devices(devices: Sequence[Any], members: Sequence[str], chosen: Sequence[str]) -> tuple[Any, ...]:
    """Return of a host's RDMA devices those that lead to chosen members; all, when they are not one for each member."""
    if len(devices) != len(members):
        return tuple(devices)
    return tuple(device for device, name in zip(devices, members, strict=True) if name in chosen)


def places(hosts: Sequence[HostSettings], resolve: Resolve, wanted: str = ALL) -> list[RankPlace]:
    """Return the place of each rank, in rank order: hosts in order, each with its slots in a row."""
    found: list[RankPlace] = []
    for host in hosts:
        rank = len(found)
        asked = is_asked(host) and is_needed(rank, wanted)
        found += [RankPlace(host.name, rank_addresses(host, rank, resolve, wanted), host.rdma, asked)] * host.slots
    return found

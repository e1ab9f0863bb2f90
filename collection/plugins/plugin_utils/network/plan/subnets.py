# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of cables: a /30 each, from a block that nobody uses. Pure.

Each cable has a network of its own, as one shared by several does not work on Thunderbolt (exo#2067). Addresses that a
cable has already, and that are right, stay: a second run changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ..facts.host import HostNetwork, thunderbolt_interfaces
from ..facts.interfaces import is_usual
from ..topology.cables import Cable

PREFIX = 30
#: Blocks to choose from, private ones that few people use: mlx.distributed_config takes 192.168.0.0/16 from its start,
#: where most homes are.
CANDIDATES = tuple(
    IPv4Network(text)
    for text in (
        *(f"10.{second}.64.0/22" for second in (213, 187, 231, 149, 113)),
        *(f"172.{second}.192.0/22" for second in (31, 27, 23, 19)),
        *(f"192.168.{third}.0/22" for third in range(248, 100, -16)),
    )
)


@dataclass(frozen=True)
class Addressed:
    """A cable with the addresses of its ends, and whether it has them already and needs no setup."""

    cable: Cable
    addresses: tuple[IPv4Interface, IPv4Interface]
    kept: bool = False

    def address(self, host: int) -> IPv4Interface:
        """Return the address at a host."""
        return self.addresses[0] if self.cable.ends[0].host == host else self.addresses[1]


@dataclass(frozen=True)
class Use:
    """A network that is in use.

    Attributes:
        network: it.
        where: host and interface, for a person.
        on_port: whether that is a Thunderbolt port, whose address may be left from an earlier cable.
    """

    network: IPv4Network
    where: str
    on_port: bool = False

    def takes(self, block: IPv4Network) -> bool:
        """Return whether a block cannot be chosen from: a port takes its own part alone."""
        return self.network.overlaps(block) and not (self.on_port and self.network.prefixlen > block.prefixlen)


class NoSubnet(Exception):
    """There are no addresses for the cables; the text says why and what to do."""


def address_cables(hosts: Sequence[HostNetwork], cables: Sequence[Cable], subnet: IPv4Network | None = None) -> list[Addressed]:
    """Return the cables with their addresses.

    Args:
        hosts: all of them.
        cables: those to be used, in their order.
        subnet: block to take addresses from; by default the first free one of CANDIDATES.

    Raises:
        NoSubnet: the block is in use or too small, or none is free.
    """
    used = list(uses(hosts, cables))
    found = _kept(hosts, cables, used, subnet)
    found |= _half_kept(hosts, [cable for cable in cables if cable.identity not in found], used, _networks(found), subnet)
    left = [cable for cable in cables if cable.identity not in found]
    if left:
        for cable, slot in zip(left, _slots(used, _networks(found), len(left), subnet), strict=True):
            first, second = _pair(slot)
            found[cable.identity] = Addressed(cable, (first, second))
    return [found[cable.identity] for cable in cables]


def _networks(found: Mapping[str, Addressed]) -> list[IPv4Network]:
    return [each.addresses[0].network for each in found.values()]


def _pair(slot: IPv4Network) -> tuple[IPv4Interface, IPv4Interface]:
    first, second = (IPv4Interface((address, PREFIX)) for address in slot.hosts())
    return first, second


def uses(hosts: Sequence[HostNetwork], cables: Iterable[Cable] = ()) -> Iterator[Use]:
    """Yield the networks that hosts have addresses in or routes to, but those of the ports of these cables."""
    ours = {(end.host, end.interface) for cable in cables for end in cable.ends}
    for at, host in enumerate(hosts):
        ports = thunderbolt_interfaces(host)
        for interface in host.interfaces.values():
            for address in interface.addresses:
                if (at, interface.name) not in ours and not address.ip.is_loopback:
                    yield Use(address.network, f"{host.name} has {address} on {interface.name}", interface.name in ports)
        for route in host.routes:
            # A route to half of the world or more, as a VPN's, is no use of a network.
            if (at, route.interface) not in ours and route.network.prefixlen > 1 and not route.network.is_loopback:
                where = f"{host.name} has a route to {route.network} by {route.interface}"
                yield Use(route.network, where, route.interface in ports)


def _kept(hosts: Sequence[HostNetwork], cables: Sequence[Cable], used: Sequence[Use], subnet: IPv4Network | None) -> dict[str, Addressed]:
    """Return the cables whose addresses are right: both ends in one network, which nothing else has."""
    kept: dict[str, Addressed] = {}
    networks: list[IPv4Network] = []
    for cable in cables:
        one, other = (_only_address(hosts[end.host], end.interface) for end in cable.ends)
        if one is None or other is None or one.network != other.network or one.ip == other.ip:
            continue
        taken = [*(use.network for use in used), *networks]
        inside = subnet is None or (one.network.prefixlen >= subnet.prefixlen and one.network.subnet_of(subnet))
        if inside and is_usual(one) and not any(one.network.overlaps(network) for network in taken):
            # A bridge that has taken a port back after a restart is no reason to renumber it; the port is set up again.
            bridged = any(hosts[end.host].interfaces[end.interface].bridge for end in cable.ends)
            kept[cable.identity] = Addressed(cable, (one, other), kept=not bridged)
            networks.append(one.network)
    return kept


def _half_kept(
    hosts: Sequence[HostNetwork], cables: Sequence[Cable], used: Sequence[Use], kept: Sequence[IPv4Network], subnet: IPv4Network | None
) -> dict[str, Addressed]:
    """Return the cables of which one end has an address of ours, and the other none: hostfiles stay right."""
    found: dict[str, Addressed] = {}
    taken = [*(use.network for use in used), *kept]
    blocks = [subnet] if subnet else CANDIDATES
    for cable in cables:
        for end in cable.ends:
            address = _only_address(hosts[end.host], end.interface)
            if address is None or address.network.prefixlen != PREFIX or address not in (pair := _pair(address.network)):
                continue
            if any(address.network.subnet_of(block) for block in blocks) and not any(address.network.overlaps(each) for each in taken):
                first, second = pair
                own_first = (address == first) == (end is cable.ends[0])
                found[cable.identity] = Addressed(cable, (first, second) if own_first else (second, first))
                taken.append(address.network)
                break
    return found


def _only_address(host: HostNetwork, interface: str) -> IPv4Interface | None:
    """Return the address of an interface that has exactly one, as RDMA needs it."""
    found = host.interfaces.get(interface)
    return found.addresses[0] if found and len(found.addresses) == 1 else None


def _slots(used: Sequence[Use], kept: Sequence[IPv4Network], count: int, subnet: IPv4Network | None) -> list[IPv4Network]:
    """Return networks for `count` cables, from the block where others are already, else from the first free one."""
    blocks = [subnet] if subnet else sorted(CANDIDATES, key=lambda block: not any(network.overlaps(block) for network in kept))
    reason = ""
    for block in blocks:
        clash = next((use for use in used if use.takes(block)), None)
        if clash:
            reason = clash.where
            continue
        slots = _free(block, [*kept, *(use.network for use in used if use.on_port)], count)
        if len(slots) == count:
            return slots
        reason = f"{block} has room for {len(slots)} of {count} cables"
    if subnet and "room" in reason:
        raise NoSubnet(f"--subnet {subnet} is too small: {reason}; give a larger one")
    if subnet:
        raise NoSubnet(f"--subnet {subnet} is in use: {reason}; give another one, or leave it out")
    raise NoSubnet(f"no block of addresses is free ({reason}); give one with --subnet")


def _free(block: IPv4Network, kept: Sequence[IPv4Network], count: int) -> list[IPv4Network]:
    found: list[IPv4Network] = []
    step = 2 ** (32 - PREFIX)
    start = int(block.network_address)
    for number in range(start, start + block.num_addresses, step):
        slot = IPv4Network((IPv4Address(number), PREFIX))
        if not any(slot.overlaps(network) for network in kept):
            found.append(slot)
        if len(found) == count or number - start > 4096 * step:
            break
    return found

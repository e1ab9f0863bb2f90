# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advice on a plan: what may go wrong with it, and what is left unused. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...output.columns import named
from ..facts.finding import NOTE, WARN, Finding
from ..facts.hardware import VPN
from ..facts.host import HostNetwork
from ..facts.rdma import DOWN
from ..topology.cables import Cable
from ..topology.meshes import unequal_pairs
from ..topology.topology import Topology, missing_cables
from .owners import owner_findings
from .plan import Plan
from .wishes import JACCL, JACCL_RING, THUNDERBOLT

_FULL_TUNNEL = 1  # a VPN takes all traffic by a default route, or by two halves of the world
_STUDIOS = ("Mac15,14", "Mac16,9")  # those with Thunderbolt 5


def advice(hosts: Sequence[HostNetwork], topology: Topology, plan: Plan) -> Iterator[Finding]:
    """Yield the findings that follow from hosts, cables and plan together."""
    yield from _loop(hosts, topology)
    yield from _missing(hosts, topology)
    if topology.cables:
        for rule in (*_ABOUT_HOSTS, *(_ABOUT_PLANS if plan.over == THUNDERBOLT else ())):
            yield from rule(plan)


def _loop(hosts: Sequence[HostNetwork], topology: Topology) -> Iterator[Finding]:
    """A bridge over a loop of cables storms (TN3205, dnet#69)."""
    bridged = [cable for cable in topology.cables if all(_bridge(hosts, cable, host) for host in cable.hosts)]
    if _has_loop(len(hosts), bridged):
        names = sorted({hosts[at].name for cable in bridged for at in cable.hosts})
        text = (
            f"the Thunderbolt bridges of {named(names)} close a loop, in which packets circle for ever; take the ports out of the bridges"
        )
        yield Finding(WARN, "bridge_loop", text)


def _bridge(hosts: Sequence[HostNetwork], cable: Cable, host: int) -> str:
    found = hosts[host].interfaces.get(cable.end(host).interface)
    return found.bridge if found else ""


def _has_loop(size: int, cables: Sequence[Cable]) -> bool:
    root = list(range(size))

    def find(at: int) -> int:
        while root[at] != at:
            at = root[at]
        return at

    for cable in cables:
        one, other = (find(at) for at in cable.hosts)
        if one == other:
            return True
        root[one] = other
    return False


def _missing(hosts: Sequence[HostNetwork], topology: Topology) -> Iterator[Finding]:
    if not topology.exact:
        text = "the search for rings took too long and was ended, so there may be a wider or larger one; ask about fewer hosts at a time"
        yield Finding(NOTE, "search", text)
    if topology.cables:
        for kind, pairs in topology.missing.items():
            yield Finding(NOTE, f"missing_for_{kind}", f"for a {kind}, add {named(missing_cables(hosts, pairs), 8)}")


# -- of a plan over Thunderbolt


def _order(plan: Plan) -> Iterator[Finding]:
    if plan.order != tuple(range(len(plan.hosts))):
        names = [plan.hosts[at].name for at in plan.order]
        text = f"ranks go round the ring in another order than the list of hosts: {', '.join(names)}; rank 0 stays {names[0]}"
        yield Finding(NOTE, "order", text)


def _unused(plan: Plan) -> Iterator[Finding]:
    used = {link.cable.identity for link in plan.links}
    left = [cable for cable in plan.topology.cables if cable.identity not in used]
    if left:
        names = [f"{plan.hosts[cable.hosts[0]].name} {cable.ends[0].interface} -- {plan.hosts[cable.hosts[1]].name}" for cable in left]
        text = f"{plan.backend} does not use {len(left)} of {len(plan.topology.cables)} cables: {named(names)}"
        yield Finding(NOTE, "unused", text)


def _unequal(plan: Plan) -> Iterator[Finding]:
    pairs = unequal_pairs(plan.topology.matrix) if plan.backend == JACCL else []
    if pairs:
        names = [f"{plan.hosts[one].name} -- {plan.hosts[other].name}" for one, other in pairs]
        text = f"all pairs of hosts use as many cables as the pair with the fewest, {plan.width}; more are between {named(names)}"
        yield Finding(NOTE, "unequal", text)


def _bridged(plan: Plan) -> Iterator[Finding]:
    for link in plan.links:
        for end in link.cable.ends:
            bridge = _bridge(plan.hosts, link.cable, end.host)
            if bridge:
                host = plan.hosts[end.host].name
                text = f"is a member of {bridge}, which keeps RDMA off it; there, run sudo ifconfig {bridge} deletem {end.interface}"
                yield Finding(WARN, "bridged", text, host, end.interface)


def _addresses(plan: Plan) -> Iterator[Finding]:
    """Every RDMA port needs exactly one IPv4 address: jaccl takes the first IPv4-mapped GID (mlx#4191)."""
    for link in plan.links:
        for end in link.cable.ends:
            found = plan.hosts[end.host].interfaces.get(end.interface)
            if found and len(found.addresses) > 1:
                has = ", ".join(str(address.ip) for address in found.addresses[:4])
                text = f"has {has}, and is to have {link.address(end.host).ip} alone; RDMA takes the first one"
                yield Finding(WARN, "several_addresses", text, plan.hosts[end.host].name, end.interface)


def _down(plan: Plan) -> Iterator[Finding]:
    if plan.backend not in (JACCL, JACCL_RING):
        return
    for link in plan.links:
        for end in link.cable.ends:
            host = plan.hosts[end.host]
            if host.rdma.state(end.interface) == DOWN and not _bridge(plan.hosts, link.cable, end.host):
                text = "its RDMA port is down, which it also says after a job that was ended; try it, and restart the Mac if jaccl fails"
                yield Finding(WARN, "port_down", text, host.name, end.interface)


def _tunnels(plan: Plan) -> Iterator[Finding]:
    for host in plan.hosts:
        taken = {route.interface for route in host.routes if route.network.prefixlen <= _FULL_TUNNEL and not route.scoped}
        for name in sorted(each for each in taken if host.kind(each) == VPN):
            text = "a VPN takes all traffic of this host and may swallow that of the cables; exempt the addresses there, or end it"
            yield Finding(WARN, "vpn", text, host.name, name)


def _owners(plan: Plan) -> Iterator[Finding]:
    for at, host in enumerate(plan.hosts):
        yield from owner_findings(host, {end.interface for link in plan.links for end in link.cable.ends if end.host == at})


def _macs(plan: Plan) -> Iterator[Finding]:
    if plan.backend not in (JACCL, JACCL_RING):
        return
    versions = {f"{host.system.version} {host.system.build}".strip() for host in plan.hosts}
    if len(versions) > 1:
        text = f"RDMA wants the same macOS on all hosts, betas too, and they have {', '.join(sorted(versions))}"
        yield Finding(WARN, "versions", text)
    studios = [host.name for host in plan.hosts if host.system.model in _STUDIOS]
    if studios:
        text = f"on a Mac Studio, RDMA does not work on the port next to Ethernet; use another one of {named(studios)}"
        yield Finding(NOTE, "studio_port", text)


def _sleep(plan: Plan) -> Iterator[Finding]:
    """Thunderbolt wakes no Mac (TN3205)."""
    for host in plan.hosts:
        power = host.system.power
        if power.get("sleep", "0") != "0":
            text = f"sleeps after {power['sleep']} minutes, and Thunderbolt does not wake it; run sudo pmset sleep 0 there"
            yield Finding(WARN, "sleep", text, host.name)
        if power.get("autorestart") == "0":
            text = "stays off after a power failure; run sudo pmset autorestart 1 there"
            yield Finding(NOTE, "autorestart", text, host.name)
        if host.system.filevault:
            text = "FileVault is on, so after a restart the Mac is locked until somebody logs in on it"
            yield Finding(NOTE, "filevault", text, host.name)


_Rules = tuple[Callable[[Plan], Iterator[Finding]], ...]
_ABOUT_HOSTS: _Rules = (_tunnels, _owners, _sleep)
_ABOUT_PLANS: _Rules = (_order, _unused, _unequal, _bridged, _addresses, _down, _macs)

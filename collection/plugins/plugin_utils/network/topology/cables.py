# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cables between hosts, from what both ends report. Pure.

A cable is the unordered pair of the domain uuids at its ends. One end's report is enough: a Mac behind a dock is often
missing in the report of the other side (exo PR#1982, PR#2063). All lists of cables have one order, that of the
receptacles of the host that comes first, so that both ends of every pair of hosts list them alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..facts.finding import FAIL, NOTE, WARN, Finding
from ..facts.host import HostNetwork, Port
from ..facts.profiler import Peer

MOST_SHOWN = 4


@dataclass(frozen=True)
class End:
    """One end of a cable: the host, by its place in the list, and its port."""

    host: int
    port: Port

    @property
    def interface(self) -> str:
        """Its interface, or empty."""
        return self.port.interface


@dataclass(frozen=True)
class Cable:
    """A cable between two hosts.

    Attributes:
        ends: that of the host which comes first, then the other.
        speed: Gb/s of its slowest part, 0 when neither side tells it.
        through: names of the devices between.
        seen_from: places of the hosts that report it: both, or one.
        rdma: by place of a host, whether its peer sees it advertise RDMA; None when not told.
        blocked: why it cannot be used, or empty.
    """

    ends: tuple[End, End]
    speed: float
    through: tuple[str, ...]
    seen_from: frozenset[int]
    rdma: Mapping[int, bool | None]
    blocked: str = ""

    @property
    def hosts(self) -> tuple[int, int]:
        """Places of its hosts, in order."""
        return (self.ends[0].host, self.ends[1].host)

    @property
    def identity(self) -> str:
        """The domain uuids of its ends."""
        return "/".join(sorted(end.port.bus.uuid for end in self.ends))

    def end(self, host: int) -> End:
        """Return the end at a host."""
        return self.ends[0] if self.ends[0].host == host else self.ends[1]

    @property
    def one_sided(self) -> bool:
        """Whether only one side reports it."""
        return len(self.seen_from) == 1


@dataclass(frozen=True)
class Cabling:
    """The cables, and the findings about them."""

    cables: tuple[Cable, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> list[Cable]:
        """The cables that an address can be given to."""
        return [cable for cable in self.cables if not cable.blocked]


@dataclass(frozen=True)
class _Sight:
    """A peer as one port sees it."""

    end: End
    peer: Peer


def find_cables(hosts: Sequence[HostNetwork]) -> Cabling:
    """Return the cables between hosts, in the order of hosts and receptacles."""
    known, twice = _index(hosts)
    sights: dict[frozenset[str], list[_Sight]] = defaultdict(list)
    findings = list(twice)
    for end, peer in _peers(hosts):
        uuid, host = end.port.bus.uuid, hosts[end.host]
        if not uuid:
            text = f"{end.port.label} has no domain uuid in the report, so its cable cannot be matched; system_profiler is to report it"
            findings.append(Finding(WARN, "no_uuid", text, host.name, end.interface))
        elif peer.uuid not in known:
            text = f"{end.port.label} leads to {peer.model or 'a Mac'}, which is none of these hosts"
            findings.append(Finding(NOTE, "foreign_peer", text, host.name, end.interface))
        elif known[peer.uuid].host in (end.host, known[uuid].host):  # of a Mac that stands in the list twice, the first place
            text = f"{end.port.label} leads back to the same Mac; that cable connects nothing"
            findings.append(Finding(WARN, "self_cable", text, host.name, end.interface))
        else:
            sights[frozenset((uuid, peer.uuid))].append(_Sight(known[uuid], peer))
    cables = sorted((_cable(known, pair, seen) for pair, seen in sights.items()), key=_order)
    cables = _block_shared_ports(cables)
    return Cabling(tuple(cables), (*findings, *_findings(hosts, cables)))


def _index(hosts: Sequence[HostNetwork]) -> tuple[dict[str, End], list[Finding]]:
    """Return the port of each domain uuid; a Mac that stands in the list twice counts where it comes first."""
    known: dict[str, End] = {}
    twice: dict[tuple[int, int], None] = {}
    for at, host in enumerate(hosts):
        for port in host.ports:
            if port.bus.uuid:
                first = known.setdefault(port.bus.uuid, End(at, port))
                if first.host != at:
                    twice[first.host, at] = None
    text = "reports the same Thunderbolt ports as {}: the same Mac stands in the list twice, so remove one name"
    return known, [Finding(FAIL, "same_mac", text.format(hosts[first].name), hosts[again].name) for first, again in twice]


def _peers(hosts: Sequence[HostNetwork]) -> Iterator[tuple[End, Peer]]:
    for at, host in enumerate(hosts):
        for port in host.ports:
            for peer in port.bus.peers:
                yield End(at, port), peer


def _cable(known: Mapping[str, End], pair: frozenset[str], seen: Sequence[_Sight]) -> Cable:
    first, second = sorted((known[uuid] for uuid in pair), key=lambda end: end.host)
    speeds = [sight.peer.speed or sight.end.port.bus.speed for sight in seen]
    speeds += [end.port.bus.speed for end in (first, second)]
    told = {known[sight.peer.uuid].host: sight.peer.rdma for sight in seen}
    missing = [end for end in (first, second) if not end.interface]
    return Cable(
        ends=(first, second),
        speed=min((speed for speed in speeds if speed), default=0.0),
        through=max((sight.peer.through for sight in seen), key=len),
        seen_from=frozenset(sight.end.host for sight in seen),
        rdma=told,
        blocked="no interface" if missing else "",
    )


def _order(cable: Cable) -> tuple[tuple[int, int], tuple[bool, int, str], str]:
    receptacle = cable.ends[0].port.bus.receptacle
    number = receptacle.isascii() and receptacle.isdecimal() and len(receptacle) < 6
    return (cable.hosts, (not number, int(receptacle) if number else 0, receptacle), cable.identity)


def _block_shared_ports(cables: Sequence[Cable]) -> list[Cable]:
    """Block the cables that share a port with a better one: several Macs behind one hub have one interface here."""
    better = sorted(cables, key=lambda cable: (bool(cable.blocked), len(cable.through), cable.one_sided, -cable.speed))
    taken: set[tuple[int, str]] = set()
    shared: set[str] = set()
    for cable in better:
        ends = {(end.host, end.interface) for end in cable.ends if end.interface}
        if cable.blocked or not ends & taken:
            taken |= ends if not cable.blocked else set()
        else:
            shared.add(cable.identity)
    return [_blocked(cable, "shares a port") if cable.identity in shared else cable for cable in cables]


def _blocked(cable: Cable, why: str) -> Cable:
    return Cable(cable.ends, cable.speed, cable.through, cable.seen_from, cable.rdma, why)


def _findings(hosts: Sequence[HostNetwork], cables: Sequence[Cable]) -> Iterator[Finding]:
    for cable in cables:
        if cable.one_sided:
            (seen,) = cable.seen_from
            here, there = cable.end(seen), cable.ends[0] if cable.ends[1].host == seen else cable.ends[1]
            through = f" through {', '.join(cable.through[:MOST_SHOWN])}" if cable.through else ""
            text = f"the cable to {hosts[there.host].name}{through} is seen only from here; if it fails, plug it in again"
            yield Finding(WARN, "one_sided", text, hosts[seen].name, here.interface)
        if cable.blocked == "shares a port":
            text = f"a second Mac is behind {cable.ends[0].port.label}, and a port serves one; use a port for each Mac"
            yield Finding(WARN, "shared_port", text, hosts[cable.hosts[0]].name, cable.ends[0].interface)


def count_matrix(size: int, cables: Sequence[Cable]) -> list[list[int]]:
    """Return the number of cables between each two hosts; symmetric."""
    matrix = [[0] * size for _host in range(size)]
    for cable in cables:
        one, other = cable.hosts
        matrix[one][other] += 1
        matrix[other][one] += 1
    return matrix

"""Thunderbolt cables of a lab's Macs: a plan of them as people write it, and what follows for each host. Pure.

A plan is the word `ring` or `mesh`, or an object, which `README.md` describes. Ends are written `node1:2`: the host
and the number of its port.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.needs import LabError

#: Thunderbolt ports of a Mac, as many as a Mac Studio has; a mesh of more hosts gets more.
PORTS = 6
RING, MESH = "ring", "mesh"
_SPEED = "80 Gb/s"
_IDLE = "Up to 120 Gb/s"
_SERVICE_IP = {"_name": "service_ip", "protocol_id_key": 1}
_SERVICE_RDMA = {"_name": "unknown_xd_service", "protocol_id_key": 64087, "protocol_revision_key": 0}

End = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Cable:
    """One cable: its ends, and how the profiler shows it.

    Attributes:
        ends: host and port of each.
        speed: as the profiler writes it.
        rate: limit in each direction as tc(8) writes it, or empty.
        through: names of the devices between.
        seen_from: the only host whose profiler shows it, or empty.
    """

    ends: tuple[End, End]
    speed: str = _SPEED
    rate: str = ""
    through: tuple[str, ...] = ()
    seen_from: str = ""


@dataclasses.dataclass(frozen=True)
class CablePlan:
    """All cables of a lab, and the settings its Macs have when they are new.

    Attributes:
        cables: the cables.
        ports: Thunderbolt ports of each Mac.
        interfaces: by host and port, interfaces that are not those of that number plus one.
        bridge: hosts whose ports are members of bridge0.
        rdma: hosts on which RDMA is enabled.
        services: by host, network services of ports: name to port.
        addresses: by host and interface, more addresses.
        routes: by host, networks that a VPN takes.
    """

    cables: tuple[Cable, ...]
    ports: int = PORTS
    interfaces: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    bridge: tuple[str, ...] = ()
    rdma: tuple[str, ...] = ()
    services: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    addresses: Mapping[str, Mapping[str, Sequence[str]]] = dataclasses.field(default_factory=dict)
    routes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, wanted: Any, hosts: Sequence[str]) -> CablePlan:
        """Return the plan that a word or an object means, or raise LabError."""
        raw = {"cables": wanted} if isinstance(wanted, str) else dict(wanted)
        unknown = raw.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise LabError(f"cables: unknown: {', '.join(sorted(unknown))}")
        cables = raw.pop("cables", ())
        cables = _named(cables, hosts, raw.get("rate", "")) if isinstance(cables, str) else tuple(_cable(each) for each in cables)
        for name in ("bridge", "rdma"):
            raw[name] = tuple(hosts) if raw.get(name) is True else tuple(raw.get(name) or ())
        raw["ports"] = raw.get("ports") or max([PORTS, *(port for cable in cables for _host, port in cable.ends)])
        plan = cls(cables, **raw)
        plan._check(hosts)
        return plan

    def _check(self, hosts: Sequence[str]) -> None:
        seen: set[End] = set()
        for host, port in (end for cable in self.cables for end in cable.ends):
            if host not in hosts or not 1 <= port <= self.ports:
                raise LabError(f"cables: {host}:{port} is no port; hosts are {hosts[0]} to {hosts[-1]}, ports 1 to {self.ports}")
            if (host, port) in seen:
                raise LabError(f"cables: two cables are in {host}:{port}")
            seen.add((host, port))

    def interface(self, host: str, port: int) -> str:
        """Return the interface of a port."""
        return self.interfaces.get(host, {}).get(str(port), f"en{port + 1}")

    def of_host(self, host: str, hosts: Sequence[str]) -> dict[str, Any]:
        """Return the facts that the programs of one Mac answer from."""
        services = {name: self.interface(host, port) for name, port in self.services.get(host, {}).items()}
        return {
            "host": host,
            "profiler": [self._bus(host, port, hosts) for port in range(self.ports, 0, -1)],
            "ports": {str(port): self.interface(host, port) for port in range(1, self.ports + 1)},
            "rdma": host in self.rdma,
            "rdma_peers": [self.interface(host, port) for port in self._ports_to(host, self.rdma)],
            "bridge": [self.interface(host, port) for port in range(1, self.ports + 1)] if host in self.bridge else [],
            "services": services,
            "addresses": self.addresses.get(host, {}),
            "vpn": list(self.routes.get(host, ())),
        }

    def _ports_to(self, host: str, peers: Sequence[str]) -> list[int]:
        return [port for cable in self.cables for (one, port), (other, _) in _both_ways(cable) if one == host and other in peers]

    def _bus(self, host: str, port: int, hosts: Sequence[str]) -> dict[str, Any]:
        found = [(cable, far) for cable in self.cables for near, far in _both_ways(cable) if near == (host, port)]
        index = hosts.index(host) + 1
        tag = {"receptacle_id_key": str(port)}
        bus: dict[str, Any] = {
            "_name": f"thunderboltusb4_bus_{port - 1}",
            "device_name_key": "Mac Studio",
            "domain_uuid_key": _uuid(index, port),
            "route_string_key": "0",
            "switch_uid_key": f"0x05AC00000000{index:02X}{port:02X}",
            "vendor_name_key": "Apple Inc.",
            "receptacle_1_tag": tag,
        }
        tag |= {"receptacle_status_key": "receptacle_no_devices_connected", "current_speed_key": _IDLE, "link_status_key": "0x100"}
        for cable, far in found:
            tag |= {"receptacle_status_key": "receptacle_connected", "current_speed_key": cable.speed, "link_status_key": "0x2"}
            bus["_items"] = self._items(host, cable, far, hosts)
        return bus

    def _items(self, host: str, cable: Cable, far: End, hosts: Sequence[str]) -> list[dict[str, Any]]:
        services = [_SERVICE_IP, *([_SERVICE_RDMA] if far[0] in self.rdma else [])]
        mac = {
            "_name": "Mac Studio",
            "device_id_key": "0xA",
            "device_name_key": "Mac15,14",
            "domain_uuid_key": _uuid(hosts.index(far[0]) + 1, far[1]),
            "services_title": services,
            "vendor_id_key": "0x0A27",
        }
        items = [mac] if cable.seen_from in ("", host) else []
        for at, name in enumerate(reversed(cable.through)):
            upstream = {"current_speed_key": cable.speed}
            device = {"_name": name, "device_name_key": name, "mode_key": "usb_four", "receptacle_upstream_ambiguous_tag": upstream}
            items = [{**device, "route_string_key": str(at + 1), **({"_items": items} if items else {})}]
        return items


def _named(word: str, hosts: Sequence[str], rate: str) -> tuple[Cable, ...]:
    if word == RING:
        last = len(hosts) if len(hosts) > 2 else len(hosts) - 1
        return tuple(Cable(((hosts[at], 1), (hosts[(at + 1) % len(hosts)], 2)), rate=rate) for at in range(last))
    if word == MESH:
        free = dict.fromkeys(hosts, 0)
        pairs = [(one, other) for at, one in enumerate(hosts) for other in hosts[at + 1 :]]
        cables = []
        for one, other in pairs:
            free[one], free[other] = free[one] + 1, free[other] + 1
            cables.append(Cable(((one, free[one]), (other, free[other])), rate=rate))
        return tuple(cables)
    raise LabError(f"cables: {word!r}: want {RING}, {MESH} or a file")


def _cable(raw: Mapping[str, Any]) -> Cable:
    try:
        one, other = (_end(text) for text in raw["ends"])
        rest = {name: tuple(value) if name == "through" else value for name, value in raw.items() if name != "ends"}
        return Cable((one, other), **rest)
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f'cables: {json.dumps(raw)}: want {{"ends": ["node1:1", "node2:2"], ...}} ({error})') from None


def _end(text: str) -> End:
    host, _colon, port = text.rpartition(":")
    return host, int(port)


def _both_ways(cable: Cable) -> tuple[tuple[End, End], tuple[End, End]]:
    return cable.ends, (cable.ends[1], cable.ends[0])


def _uuid(index: int, port: int) -> str:
    return f"{index:08X}-0000-4000-9000-{port:012X}"


def read_plan(text: str) -> Any:
    """Return the plan that a command line names: a word as it is, or the object in a file."""
    if text in (RING, MESH):
        return text
    try:
        return json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"cables: {text}: {error}") from None


# -- as lines for `ip -batch`


def plug_lines(plan: CablePlan, cable: Cable, pids: Mapping[str, int]) -> list[str]:
    """Return the line that plugs a cable in, between the network namespaces of two processes."""
    (one, port), (other, far) = cable.ends
    near, there = plan.interface(one, port), plan.interface(other, far)
    macs = [f"36:00:c6:12:{int(host.removeprefix('node')):02x}:{number:02x}" for host, number in cable.ends]
    return [f"link add {near} address {macs[0]} netns {pids[one]} type veth peer name {there} address {macs[1]} netns {pids[other]}"]

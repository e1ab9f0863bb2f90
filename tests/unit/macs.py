"""Macs for tests: the answers of their programs, in the documented formats, with invented identifiers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.plan import Plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.planning import plan_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes

SERVICE_IP = {"_name": "service_ip", "protocol_id_key": 1}
SERVICE_RDMA = {"_name": "unknown_xd_service", "protocol_id_key": 64087, "protocol_revision_key": 0}


@dataclass
class Mac:
    """A Mac Studio: en0 is Ethernet, en1 Wi-Fi, Thunderbolt N is the interface after that number.

    Attributes:
        rdma: whether RDMA is enabled there.
        addresses: by interface; en0 has one in 198.18.0.0/24 unless it is given.
        bridge: interfaces that are members of bridge0.
        states: state of RDMA ports, by interface.
        answers: answers that take the place of those made here.
        failed: reasons of programs that fail.
        services: network services that ports have, by interface.
        receptacles: as the report has them, where it is odd; None for one without a tag.
    """

    name: str
    at: int = 0
    ports: int = 6
    version: str = "26.2"
    build: str = "25C56"
    model: str = "Mac15,14"
    rdma: bool = False
    addresses: dict[str, str] = field(default_factory=dict)
    bridge: tuple[str, ...] = ()
    states: dict[str, str] = field(default_factory=dict)
    routes: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    without_interface: tuple[int, ...] = ()
    without_tag: tuple[int, ...] = ()

    def uuid(self, port: int) -> str:
        return f"{self.at:08X}-0000-4000-9000-{port:012X}"

    def interface(self, port: int) -> str:
        return f"en{port + 1}"


@dataclass
class Cluster:
    """Macs and the cables between them."""

    macs: list[Mac]
    cables: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Mac:
        return next(mac for mac in self.macs if mac.name == name)

    def cable(self, one: str, other: str, **how: Any) -> Cluster:
        """Plug in a cable, "a1" to "b2"; `how`: speed, through (names of devices), seen_from (a host)."""
        self.cables.append({"ends": (self._end(one), self._end(other)), **how})
        return self

    def _end(self, text: str) -> tuple[Mac, int]:
        return self[text[:-1]], int(text[-1])

    def answers(self) -> dict[str, HostAnswers]:
        return {mac.name: self._answers(mac) for mac in self.macs}

    def plan(self, **wishes: Any) -> Plan:
        """Return the plan of these Macs."""
        return plan_network([host_network(name, answers) for name, answers in self.answers().items()], check_wishes(wishes))

    def _answers(self, mac: Mac) -> HostAnswers:
        texts = {
            "system_profiler.json": json.dumps({"SPThunderboltDataType": self._buses(mac)}),
            "hardware_ports.txt": _hardware_ports(mac),
            "service_order.txt": _service_order(mac),
            "location.txt": "Automatic\n",
            "ifconfig.txt": self._ifconfig(mac),
            "routes.txt": _routes(mac),
            "sw_vers.txt": f"ProductName:\t\tmacOS\nProductVersion:\t\t{mac.version}\nBuildVersion:\t\t{mac.build}\n",
            "model.txt": f"{mac.model}\n",
            "ssh.txt": f"{_address(mac, 'en0').ip}\n",
            **_rdma(mac),
            **mac.answers,
        }
        return HostAnswers("Darwin", {name: text for name, text in texts.items() if name not in mac.failed}, dict(mac.failed))

    def _buses(self, mac: Mac) -> list[dict[str, Any]]:
        """Return an element per port, highest bus first, as macOS does."""
        return [self._bus(mac, port) for port in range(mac.ports, 0, -1)]

    def _bus(self, mac: Mac, port: int) -> dict[str, Any]:
        items = [item for cable in self.cables for item in self._items(mac, port, cable)]
        attached = [cable for cable in self.cables if (mac, port) in cable["ends"]]
        speed = attached[0].get("speed", "80 Gb/s") if attached else "Up to 120 Gb/s"
        bus: dict[str, Any] = {
            "_name": f"thunderboltusb4_bus_{port - 1}",
            "device_name_key": "Mac Studio",
            "domain_uuid_key": mac.uuid(port),
            "switch_uid_key": f"0x05AC00000000{mac.at:02X}{port:02X}",
            "route_string_key": "0",
        }
        if port not in mac.without_tag:
            state = "receptacle_connected" if attached else "receptacle_no_devices_connected"
            bus["receptacle_1_tag"] = {"receptacle_id_key": str(port), "receptacle_status_key": state}
            bus["receptacle_1_tag"] |= {"current_speed_key": speed, "link_status_key": "0x2" if attached else "0x100"}
        return bus | ({"_items": items} if items else {})

    def _items(self, mac: Mac, port: int, cable: Mapping[str, Any]) -> list[dict[str, Any]]:
        ends = cable["ends"]
        if (mac, port) not in ends or cable.get("seen_from", mac.name) != mac.name:
            return []
        peer, peer_port = ends[1] if ends[0] == (mac, port) else ends[0]
        item: dict[str, Any] = {"_name": "Mac Studio", "device_name_key": peer.model, "domain_uuid_key": peer.uuid(peer_port)}
        item["services_title"] = [SERVICE_IP, *([SERVICE_RDMA] if peer.rdma else [])]
        for device in reversed(cable.get("through", ())):
            upstream = {"current_speed_key": cable.get("speed", "80 Gb/s")}
            item = {"_name": device, "mode_key": "usb_four", "receptacle_upstream_ambiguous_tag": upstream, "_items": [item]}
        return [item]

    def _ifconfig(self, mac: Mac) -> str:
        linked = {mac.interface(port) for cable in self.cables for owner, port in cable["ends"] if owner is mac}
        blocks = ["lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384\n\tinet 127.0.0.1 netmask 0xff000000\n"]
        names = ["en0", "en1", *(mac.interface(port) for port in range(1, mac.ports + 1))]
        for name in [*names, *(extra for extra in mac.addresses if extra not in names)]:
            active = name == "en0" or name in linked or name in mac.addresses
            blocks.append(_block(mac, name, active=active))
        if mac.bridge:
            members = "".join(f"\tmember: {name} flags=3<LEARNING,DISCOVER>\n" for name in mac.bridge)
            blocks.append(f"bridge0: flags=8863<UP,BROADCAST,RUNNING> mtu 1500\n{members}\tstatus: active\n")
        return "".join(blocks)


def _block(mac: Mac, name: str, *, active: bool) -> str:
    text = f"{name}: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n\tether 02:00:00:00:{mac.at:02x}:{len(name):02x}\n"
    for each in filter(None, [mac.addresses.get(name) or (f"198.18.0.{mac.at + 1}/24" if name == "en0" else "")]):
        for one in each.split():
            address = IPv4Interface(one)
            text += f"\tinet {address.ip} netmask 0x{int(address.netmask):08x} broadcast {address.network.broadcast_address}\n"
    media = "autoselect (10Gbase-T <full-duplex>)" if name == "en0" else "autoselect"
    return text + f"\tmedia: {media}\n\tstatus: {'active' if active else 'inactive'}\n"


def _address(mac: Mac, name: str) -> IPv4Interface:
    return IPv4Interface(mac.addresses.get(name, f"198.18.0.{mac.at + 1}/24").split()[0])


def _hardware_ports(mac: Mac) -> str:
    ports = [("Ethernet", "en0"), ("Wi-Fi", "en1")]
    ports += [(f"Thunderbolt {port}", mac.interface(port)) for port in range(1, mac.ports + 1) if port not in mac.without_interface]
    ports.append(("Thunderbolt Bridge", "bridge0"))
    rows = "".join(f"\nHardware Port: {name}\nDevice: {device}\nEthernet Address: 02:00:00:00:00:01\n" for name, device in ports)
    return f"{rows}\nVLAN Configurations\n===================\n"


def _service_order(mac: Mac) -> str:
    rows = [("Ethernet", "Ethernet", "en0"), ("Wi-Fi", "Wi-Fi", "en1"), *((name, name, device) for device, name in mac.services.items())]
    lines = "".join(f"({at}) {name}\n(Hardware Port: {port}, Device: {device})\n\n" for at, (name, port, device) in enumerate(rows, 1))
    return f"An asterisk (*) denotes that a network service is disabled.\n{lines}"


def _routes(mac: Mac) -> str:
    lan = _address(mac, "en0").network
    others = [(name, IPv4Interface(one)) for name, each in mac.addresses.items() if name != "en0" for one in each.split()]
    connected = "".join(f"{one.network}      link#9             UCS                   {name}      !\n" for name, one in others)
    return (
        "Routing tables\n\nInternet:\nDestination        Gateway            Flags               Netif Expire\n"
        f"default            {lan.network_address + 254}       UGScg                 en0\n"
        "127                127.0.0.1          UCS                   lo0\n"
        f"{lan}      link#4             UCS                   en0      !\n{connected}{mac.routes}"
    )


def _rdma(mac: Mac) -> dict[str, str]:
    if not mac.rdma:
        return {"ibv_devices.txt": "    device          \t   node GUID\n    ------          \t----------------\n"}
    names = [mac.interface(port) for port in range(1, mac.ports + 1)]
    rows = "".join(f"    rdma_{name}        \t02000000{mac.at:02x}{at:06x}\n" for at, name in enumerate(names))
    infos = "".join(
        f"hca_id:\trdma_{name}\n\ttransport:\t\tThunderbolt (3)\n\t\tport:\t1\n\t\t\tstate:\t\t{mac.states.get(name, 'PORT_ACTIVE')} (4)\n"
        for name in names
    )
    heads = "    device          \t   node GUID\n    ------          \t----------------\n"
    return {"ibv_devices.txt": heads + rows, "ibv_devinfo.txt": infos, "rdma_ctl.txt": "enabled\n"}


def macs(count: int, **how: Any) -> Cluster:
    """Return Macs called a, b, c and so on, without cables."""
    return Cluster([Mac(chr(97 + at), at, **how) for at in range(count)])


def ring(count: int, **how: Any) -> Cluster:
    """Return Macs in a ring: Thunderbolt 1 of each leads to Thunderbolt 2 of the next."""
    cluster = macs(count, **how)
    names = [mac.name for mac in cluster.macs]
    for at in range(count if count > 2 else count - 1):
        cluster.cable(f"{names[at]}1", f"{names[(at + 1) % count]}2")
    return cluster


def mesh(count: int, **how: Any) -> Cluster:
    """Return Macs of which each has a cable to each other."""
    cluster = macs(count, **{"ports": max(6, count), **how})
    free = dict.fromkeys((mac.name for mac in cluster.macs), 0)
    for at, one in enumerate(cluster.macs):
        for other in cluster.macs[at + 1 :]:
            free[one.name] += 1
            free[other.name] += 1
            cluster.cable(f"{one.name}{free[one.name]}", f"{other.name}{free[other.name]}")
    return cluster


def kinds(plan: Plan) -> set[str]:
    """Return the kinds of a plan's findings."""
    return {finding.kind for finding in plan.findings}

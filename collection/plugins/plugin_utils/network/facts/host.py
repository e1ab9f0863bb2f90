# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of one host, from its raw answers. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .answers import MOST_REASON, HostAnswers
from .finding import FAIL, WARN, Finding
from .hardware import THUNDERBOLT, Service, kind_by_name, parse_hardware_ports, parse_service_order
from .interfaces import Interface, parse_ifconfig, parse_ip_addr
from .profiler import Bus, parse_profiler
from .rdma import Rdma, parse_rdma
from .routes import Route, parse_ip_route, parse_netstat

_TEXT = 80  # characters of a name that goes into a message


@dataclass(frozen=True)
class Port:
    """A Thunderbolt port: where it leads, and its interface, empty when that is not known."""

    bus: Bus
    interface: str

    @property
    def label(self) -> str:
        """Name for a person: "en2 (Thunderbolt 1)"."""
        receptacle = f"Thunderbolt {self.bus.receptacle}" if self.bus.receptacle else "a Thunderbolt port"
        return f"{self.interface} ({receptacle})" if self.interface else receptacle


@dataclass(frozen=True)
class System:
    """The system of a host: Darwin or Linux, its version and build, the model, and power settings."""

    name: str = ""
    version: str = ""
    build: str = ""
    model: str = ""
    power: Mapping[str, str] = field(default_factory=dict)
    filevault: bool = False

    @property
    def at_least_26_2(self) -> bool:
        """Whether this is macOS 26.2 or newer."""
        numbers = [int(part) for part in self.version.split(".")[:2] if part.isascii() and part.isdecimal() and len(part) < 5]
        return self.name == "Darwin" and numbers >= [26, 2]


@dataclass(frozen=True)
class HostNetwork:
    """The network of one host.

    Attributes:
        name: inventory name.
        failure: why it could not be asked, or empty.
        system: its system.
        ports: its Thunderbolt ports, in the order of their receptacles.
        interfaces: by name.
        routes: IPv4 routes.
        services: network services of a Mac.
        rdma: RDMA devices.
        owners: other software that sets up ports or takes their traffic.
        shared: interfaces to which Internet Sharing gives addresses.
        lease: whether the Thunderbolt bridge has an address by DHCP.
        location: network location of a Mac.
        ssh: own address of the connection that the probe came by, or empty.
        findings: trouble with the answers themselves.
    """

    name: str
    failure: str = ""
    system: System = field(default_factory=System)
    ports: tuple[Port, ...] = ()
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    routes: Sequence[Route] = ()
    services: Sequence[Service] = ()
    rdma: Rdma = field(default_factory=Rdma)
    owners: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    lease: bool = False
    location: str = ""
    ssh: str = ""
    findings: tuple[Finding, ...] = ()

    def kind(self, interface: str) -> str:
        """Return the kind of an interface, by its name when the host does not list it."""
        return self.interfaces[interface].kind if interface in self.interfaces else kind_by_name(interface)


def host_network(name: str, answers: HostAnswers) -> HostNetwork:
    """Return the network that a host's answers describe; what is missing or odd becomes a finding."""
    if answers.failure:
        failure = answers.failure[:MOST_REASON]
        text = f"{failure}; is it on, awake and in the network? try ssh to it"
        return HostNetwork(name, failure=failure, findings=(Finding(FAIL, "unreachable", text, name),))
    return _mac(name, answers) if answers.system == "Darwin" else _linux(name, answers)


def _mac(name: str, answers: HostAnswers) -> HostNetwork:
    by_device = parse_hardware_ports(answers.text("hardware_ports.txt"))
    interfaces = parse_ifconfig(answers.text("ifconfig.txt"), by_device)
    data, reason = answers.json("system_profiler.json")
    ports = _ports(parse_profiler(data), {port: device for device, port in by_device.items()})
    findings = [*_no_answers(name, answers, ("hardware_ports.txt", "ifconfig.txt", "routes.txt")), *_odd_ports(name, ports)]
    if reason:
        findings.insert(0, Finding(WARN, "no_answer", f"no Thunderbolt ports are known, as system_profiler failed: {reason}", name))
    return HostNetwork(
        name,
        system=_mac_system(answers),
        ports=ports,
        interfaces=interfaces,
        routes=parse_netstat(answers.text("routes.txt")),
        services=parse_service_order(answers.text("service_order.txt")),
        rdma=parse_rdma(answers),
        owners=_owners(answers),
        shared=_shared(answers),
        lease="op = BOOTREPLY" in answers.text("bridge_lease.txt"),
        location=answers.text("location.txt").strip()[:_TEXT],
        ssh=answers.text("ssh.txt").strip()[:_TEXT],
        findings=tuple(findings),
    )


def _linux(name: str, answers: HostAnswers) -> HostNetwork:
    addresses, reason = answers.json("ip_addr.json")
    routes, _reason = answers.json("ip_route.json")
    facts, _reason = answers.json("interfaces.json")
    findings = [Finding(WARN, "no_answer", f"no addresses are known, as ip addr failed: {reason}", name)] if reason else []
    return HostNetwork(
        name,
        system=System("Linux"),
        interfaces=parse_ip_addr(addresses, facts),
        routes=parse_ip_route(routes),
        rdma=parse_rdma(answers),
        ssh=answers.text("ssh.txt").strip()[:_TEXT],
        findings=tuple(findings),
    )


def _no_answers(name: str, answers: HostAnswers, wanted: Sequence[str]) -> list[Finding]:
    missing = [(each, answers.failed.get(each, "it is not there")) for each in wanted if not answers.text(each).strip()]
    return [Finding(WARN, "no_answer", f"{each} has no answer: {reason[:MOST_REASON]}", name) for each, reason in missing]


def _mac_system(answers: HostAnswers) -> System:
    told = dict(re.findall(r"^(\w{1,40}):[ \t]*(\S{1,40})", answers.text("sw_vers.txt"), re.MULTILINE))
    power = dict(re.findall(r"^[ \t]*(sleep|autorestart)[ \t]+(\d{1,6})", answers.text("power.txt"), re.MULTILINE))
    filevault = "FileVault is On" in answers.text("filevault.txt")
    model = answers.text("model.txt").strip()[:_TEXT]
    return System("Darwin", told.get("ProductVersion", ""), told.get("BuildVersion", ""), model, power, filevault)


def _ports(buses: Sequence[Bus], device_of: Mapping[str, str]) -> tuple[Port, ...]:
    ports = [Port(bus, device_of.get(f"Thunderbolt {bus.receptacle}", "") if bus.receptacle else "") for bus in buses]
    return tuple(sorted(ports, key=lambda port: _numbers_first(port.bus.receptacle)))


def _numbers_first(text: str) -> tuple[bool, int, str]:
    number = text.isascii() and text.isdecimal() and len(text) < 6
    return (not number, int(text) if number else 0, text)


def _odd_ports(name: str, ports: Sequence[Port]) -> list[Finding]:
    """Return the findings about connected ports that cannot be used as they are reported."""
    found = []
    shared = [interface for interface, count in Counter(port.interface for port in ports if port.interface).items() if count > 1]
    for interface in shared:
        found.append(
            Finding(WARN, "odd_report", f"several Thunderbolt ports are reported as {interface}; only one is used", name, interface)
        )
    for port in ports:
        if not port.bus.peers:
            continue
        if not port.bus.receptacle:
            text = "a port with a Mac behind it is reported without its number, so its interface is not known; plug it into another port"
            found.append(Finding(WARN, "no_interface", text, name))
        elif not port.interface:
            text = (
                f"Thunderbolt {port.bus.receptacle} has no network interface; an administrator has removed it: "
                "add the port in System Settings, Network, or run networksetup -detectnewhardware there"
            )
            found.append(Finding(WARN, "no_interface", text, name))
    return found


def _owners(answers: HostAnswers) -> tuple[str, ...]:
    lines = [PurePosixPath(line.strip()).name for line in answers.text("owners.txt").splitlines()[:64]]
    services = [line.partition("(Connected)")[2].split('"', 2) for line in answers.text("vpn.txt").splitlines()[:64]]
    connected = [f"VPN {service[1]}" for service in services if len(service) == 3]
    return tuple(line[:_TEXT] for line in [*lines, *connected[:16]] if line)


def _shared(answers: HostAnswers) -> tuple[str, ...]:
    """Return the interfaces of Internet Sharing, as com.apple.nat.plist has them; none while it is off."""
    if answers.text("sharing_enabled.txt").strip() not in ("1", "true"):
        return ()
    devices, _reason = answers.json("sharing_devices.json")
    return tuple(each[:_TEXT] for each in devices[:64] if isinstance(each, str)) if isinstance(devices, list) else ()


def thunderbolt_interfaces(host: HostNetwork) -> frozenset[str]:
    """Return the interfaces of Thunderbolt ports."""
    named = {name for name, interface in host.interfaces.items() if interface.kind == THUNDERBOLT}
    return frozenset(named | {port.interface for port in host.ports if port.interface})

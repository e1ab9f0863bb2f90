"""The lab's cables as lines for `ip -batch`, and the one way to run those.

A host is cut off by taking the bridge's end of its cable out of the bridge, which takes effect at once.
Setting the state of the bridge's port would not do: the kernel sets that too, a while after a cable is
plugged in. Out of the bridge that end is an interface of the controller, silent because it has neither
address nor ARP there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from tests.lab.spec import NETWORKS, HostSpec


def lan_lines() -> list[str]:
    """One bridge per network, on which the controller has address .1."""
    lines = ["link set lo up"]
    for k, network in enumerate(NETWORKS):
        # With an explicit address, else it is the lowest of the ports' and changes as hosts come and go.
        lines += [
            f"link add lan{k} address 02:00:c6:12:{k:02x}:01 type bridge mcast_snooping 0",
            f"addr add {network}.1/24 dev lan{k}",
            f"link set lan{k} up",
        ]
        # A cable to nowhere: without any a bridge has no carrier, and the controller would notice.
        lines += [*_pair_lines(f"idle{k}", f"end{k}"), f"link set idle{k} master lan{k}"]
    return lines


def cable_lines(host: HostSpec, pid: int) -> list[str]:
    """Cables from the bridges to the network namespace of process `pid`."""
    lines = []
    for k, (port, interface, mac) in enumerate(zip(host.ports, host.interfaces, host.macs, strict=True)):
        lines.append(f"link add {port} type veth peer name {interface} address {mac} netns {pid}")
        lines.append(f"link set {port} arp off master lan{k} up")
    return lines


def address_lines(host: HostSpec) -> list[str]:
    """The host's own side."""
    lines = ["link set lo name lo0", "link set lo0 up"] if host.is_mac else ["link set lo up"]
    for interface, address in zip(host.interfaces, host.addresses, strict=True):
        lines += [f"addr add {address}/24 broadcast + dev {interface}", f"link set {interface} up"]
    return lines


def unplug_lines(host: HostSpec) -> list[str]:
    """Remove the cables."""
    return [f"link del {port}" for port in host.ports]


def detour_ends(port: str) -> tuple[str, str]:
    """Names of the ends, at the bridge and at the delay line, of the cable which replaces `port`."""
    number = port.removeprefix("node")
    return f"slow{number}", f"tail{number}"


def detour_lines(host: HostSpec) -> list[str]:
    """A second cable per port, for the delay line to feed."""
    return [line for port in host.ports for line in _pair_lines(*detour_ends(port))]


def undo_detour_lines(host: HostSpec) -> list[str]:
    """Remove the second cables."""
    return [f"link del {detour_ends(port)[0]}" for port in host.ports]


def live_ports(host: HostSpec, *, detour: bool) -> list[str]:
    """The interfaces by which the bridges reach the host, when it is not cut off."""
    return [detour_ends(port)[0] if detour else port for port in host.ports]


def wiring_lines(host: HostSpec, *, cut: bool, detour: bool) -> list[str]:
    """Connect the host's cables, or the detour's, or none when it is cut, to the bridges."""
    lines = []
    for k, (own, live) in enumerate(zip(host.ports, live_ports(host, detour=detour), strict=True)):
        if own != live:
            lines.append(f"link set {own} nomaster")
        lines.append(f"link set {live} nomaster" if cut else f"link set {live} master lan{k}")
    return lines


def _pair_lines(one: str, other: str) -> list[str]:
    lines = [f"link add {one} type veth peer name {other}"]
    return [*lines, *(f"link set {end} arp off up" for end in (one, other))]


def batch(lines: Iterable[str], *, check: bool = True) -> None:
    """Run `ip` with these lines in the caller's network; without check, do what works."""
    command = ["ip", *([] if check else ["-force"]), "-batch", "-"]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=120, check=False)
    if check and done.returncode != 0:
        raise OSError(f"ip: {done.stderr.strip()}")

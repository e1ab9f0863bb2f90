# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replacement of identifiers in raw answers, the same everywhere in one recording. Pure.

Uuids, MAC and IP addresses, serial numbers, and names of networks, hosts, domains and users go. What is needed stays:
the relation of addresses, names of interfaces and products, versions, states.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..facts.answers import HostAnswers
from ..facts.hardware import ETHERNET, WIFI, kind_of
from ..facts.routes import parse_destination
from .addresses import AddressMap

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_MAC = re.compile(r"(?<![\w:])[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?![\w:])", re.IGNORECASE)
_MAC_NAME = re.compile(r"\benx([0-9a-f]{12})\b")
_GUID = re.compile(r"(?<![\w:])(?:[0-9a-f]{16}|[0-9a-f]{4}(?::[0-9a-f]{4}){3})(?![\w:])", re.IGNORECASE)
_LONG_HEX = re.compile(r"0x[0-9a-f]{10,}", re.IGNORECASE)
_V6 = re.compile(r"(?<![\w:.])(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f:]+(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])", re.IGNORECASE)
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)")
_HOME = re.compile(r"/(Users|home)/([^/\s\"']+)")
_LOGIN = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]*)@(?=[\w.-])")
_OWNED = re.compile(r"\w['\u2019]s?\s")  # "Bob's MacBook Pro"
_SYSTEM_SERVICES = re.compile(
    r"(Wi-Fi|AirPort|WLAN|Bluetooth PAN|iPhone USB|(\d+G )?Ethernet( \d+)?|Ethernet Adapter .*"
    r"|Thunderbolt( Bridge| Ethernet.*| \d+)?|USB [\d./G]+ ?LAN|exo.*)"
)
_PORT_OF_KIND = {ETHERNET: "Ethernet", WIFI: "Wi-Fi"}
_LOCATIONS = ("Automatic", "exo")
_VPN_PRODUCTS = ("tailscale", "warp", "wireguard", "cisco", "globalprotect", "anyconnect", "zerotier", "openvpn")
_SHARED_HOMES = ("Shared",)
_SHORTEST_NAME = 3


def anonymised(hosts: Mapping[str, HostAnswers], names: Iterable[str], key: bytes) -> dict[str, HostAnswers]:
    """Return the answers without identifiers; hosts are called host1, host2 and so on.

    Args:
        hosts: by name, in order.
        names: other names of hosts and domains, such as those that ssh uses.
        key: secret of this recording; addresses cannot be traced back without it.
    """
    new_names = {name: f"host{at + 1}" for at, name in enumerate(hosts)}
    replace = _Replacer(new_names, list(names), AddressMap(key))
    return {new_names[name]: replace.host(answers) for name, answers in hosts.items()}


class _Replacer:
    """The replacements of one recording, each made when it is first needed."""

    def __init__(self, hosts: Mapping[str, str], names: Sequence[str], addresses: AddressMap) -> None:
        self._addresses = addresses
        self._known: dict[tuple[str, str], int] = {}
        self._counts: Counter[str] = Counter()
        self._names = dict(hosts)
        for name in names:
            self._names.setdefault(name, f"name{len(self._names) + 1}")
        self._host_names = _any_of(name for name in self._names if len(name) >= _SHORTEST_NAME and not _is_address(name))

    def host(self, answers: HostAnswers) -> HostAnswers:
        """Return one host's answers."""
        texts = {name: self._answer(name, text) for name, text in answers.texts.items()}
        failed = {name: self._plain(reason) for name, reason in answers.failed.items()}
        return HostAnswers(answers.system, texts, failed, self._plain(answers.failure))

    def _answer(self, name: str, text: str) -> str:
        special = _SPECIAL.get(name)
        return self._plain(special(self, text) if special else text)

    def _number(self, kind: str, value: str) -> int:
        if (kind, value) not in self._known:
            self._counts[kind] += 1
            self._known[kind, value] = self._counts[kind]
        return self._known[kind, value]

    # -- of any text

    def _plain(self, text: str) -> str:
        text = _UUID.sub(lambda found: self._uuid(found[0]), text)
        text = _MAC.sub(lambda found: self._mac(found[0]), text)
        text = _MAC_NAME.sub(lambda found: f"enx{self._number('mac', found[1]):012x}", text)
        text = _GUID.sub(lambda found: self._guid(found[0]), text)
        text = _LONG_HEX.sub(lambda found: f"0x{self._number('hex', found[0].lower()):016X}", text)
        text = _V6.sub(lambda found: self._v6(found[0]), text)
        text = _V4.sub(lambda found: self._v4(found[0]), text)
        text = _HOME.sub(lambda found: f"/{found[1]}/{self._user(found[2])}", text)
        text = _LOGIN.sub(lambda found: f"{self._user(found[1])}@", text)
        return self._host_names.sub(lambda found: self._names[found[0]], text) if self._host_names else text

    def _uuid(self, value: str) -> str:
        return f"00000000-0000-4000-8000-{self._number('uuid', value.lower()):012x}"

    def _mac(self, value: str) -> str:
        parts = [int(part, 16) for part in value.split(":")]
        if set(parts) in ({0}, {255}):
            return value
        number = self._number("mac", "".join(f"{part:02x}" for part in parts))
        return f"02:00:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"

    def _guid(self, value: str) -> str:
        plain = f"{self._number('guid', value.lower().replace(':', '')):016x}"
        return plain if ":" not in value else ":".join(plain[at : at + 4] for at in range(0, 16, 4))

    def _v4(self, value: str) -> str:
        try:
            return str(self._addresses.v4(ipaddress.IPv4Address(value)))
        except ValueError:
            return value

    def _v6(self, value: str) -> str:
        try:
            return str(self._addresses.v6(ipaddress.IPv6Address(value)))
        except ValueError:
            return value

    def _user(self, name: str) -> str:
        return name if name in _SHARED_HOMES else f"user{self._number('user', name)}"

    # -- of one kind of answer

    def profiler(self, text: str) -> str:
        """Return the report with its identifiers replaced by field, as not every domain looks like a uuid."""
        try:
            found = json.dumps(self._fields(json.loads(text), ""), indent=1, ensure_ascii=False)
            return found.encode("utf-8", "replace").decode()  # half a surrogate could not be written
        except (ValueError, RecursionError):
            return text

    def _fields(self, value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: self._fields(item, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fields(item, name) for item in value]
        if not isinstance(value, str) or not value:
            return value
        if "uuid" in name.lower():
            return self._uuid(value)
        if "switch_uid" in name:
            return f"0x{self._number('hex', value.lower()):016X}"
        if "serial" in name.lower():
            return f"SERIAL{self._number('serial', value):04d}"
        return f"device {self._number('device', value)}" if _OWNED.search(value) else value

    def routes(self, text: str) -> str:
        """Return the routes with their networks in full: "192.168.1" says nothing to a search for addresses."""
        return "".join(self._route(line) for line in text.splitlines(keepends=True))

    def _route(self, line: str) -> str:
        first = line.split(maxsplit=1)[0] if line.strip() else ""
        network = parse_destination(first) if first[:1].isdigit() else None
        if not network:
            return line
        full = str(network.network_address) if network.prefixlen == 32 else str(network)
        return line.replace(first, full, 1)

    def services(self, text: str) -> str:
        """Return the services without the names that people gave them."""
        text = re.sub(r"^(\((?:\d+|\*)\) )(.+)$", lambda found: found[1] + self._service(found[2]), text, flags=re.MULTILINE)
        return re.sub(
            r"^(\(Hardware Port: )(.+)(, Device: )", lambda found: found[1] + self._port(found[2]) + found[3], text, flags=re.MULTILINE
        )

    def _service(self, name: str) -> str:
        return name if _SYSTEM_SERVICES.fullmatch(name) else f"Service {self._number('service', name)}"

    def _port(self, name: str) -> str:
        """Return a name of the same kind, as a plan goes by that."""
        service, kind = self._service(name), _PORT_OF_KIND.get(kind_of("", name))
        return f"{kind} ({service})" if kind and service != name else service

    def location(self, text: str) -> str:
        """Return the network location, unless a person named it."""
        return text if text.strip() in _LOCATIONS else f"location {self._number('location', text)}\n"

    def lease(self, text: str) -> str:
        """Return the line of a DHCP packet that says whether one has come; others name domains, hosts and servers."""
        return "".join(re.findall(r"^op = \w+\n?", text, re.MULTILINE))

    def ports(self, text: str) -> str:
        """Return the hardware ports without the names that people gave to VLANs and ports."""
        text = re.sub(r"^(VLAN User Defined Name: )(.+)$", lambda found: found[1] + self._service(found[2]), text, flags=re.MULTILINE)
        return re.sub(r"^(Hardware Port: )(.+)$", lambda found: found[1] + self._port(found[2]), text, flags=re.MULTILINE)

    def vpn(self, text: str) -> str:
        """Return the VPN services; names of products stay."""
        text = re.sub(r'"([^"]*)"', lambda found: f'"{self._product(found[1], "VPN ")}"', text)
        return re.sub(r"\b(?:com|net|org|io)\.[\w.-]+", lambda found: self._product(found[0], "com.example.vpn"), text)

    def _product(self, name: str, instead: str) -> str:
        known = any(product in name.lower() for product in _VPN_PRODUCTS)
        return name if known and len(name) < 40 else f"{instead}{self._number('vpn', name)}"


_SPECIAL: Mapping[str, Callable[[_Replacer, str], str]] = {
    "system_profiler.json": _Replacer.profiler,
    "routes.txt": _Replacer.routes,
    "service_order.txt": _Replacer.services,
    "bridge_lease.txt": _Replacer.lease,
    "hardware_ports.txt": _Replacer.ports,
    "location.txt": _Replacer.location,
    "vpn.txt": _Replacer.vpn,
}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return None
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

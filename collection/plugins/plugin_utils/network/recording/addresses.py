# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replacement of IP addresses by others that have the same relation to each other. Pure.

Two addresses that share a prefix share one as long afterwards, so networks, routes and collisions stay as they were.
The kind of an address (private, link-local, loopback) stays, and so does its last byte, which shows a cable's network.
"""

from __future__ import annotations

import hashlib
import hmac
from ipaddress import IPv4Address, IPv4Network, IPv6Address

_KINDS = (
    *((IPv4Network(text), 8) for text in ("10.0.0.0/8",)),
    *((IPv4Network(text), 10) for text in ("100.64.0.0/10",)),
    *((IPv4Network(text), 12) for text in ("172.16.0.0/12",)),
    *((IPv4Network(text), 16) for text in ("192.168.0.0/16", "169.254.0.0/16")),
    *((IPv4Network(text), 32) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")),
)
_REPLACED = 24  # bits; the last byte stays


class AddressMap:
    """The replacements of one recording.

    Args:
        key: secret of this recording, without which nobody can go back.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._prefixes: dict[bytes, int] = {}
        self._hosts: dict[IPv6Address, int] = {}

    def v4(self, address: IPv4Address) -> IPv4Address:
        """Return the replacement of an IPv4 address."""
        bits = int(address)
        found = bits
        for at in range(8, _REPLACED):
            prefix = bits >> (32 - at)
            if not _shows_kind(bits, at) and hmac.digest(self._key, f"{at}/{prefix}".encode(), hashlib.sha256)[0] & 1:
                found ^= 1 << (31 - at)
        return IPv4Address(found)

    def v6(self, address: IPv6Address) -> IPv6Address:
        """Return the replacement of an IPv6 address: of its network, and of its host within."""
        if address.ipv4_mapped:
            return IPv6Address(f"::ffff:{self.v4(address.ipv4_mapped)}")
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            return address
        host = self._hosts.setdefault(address, len(self._hosts) + 1)
        if address.is_link_local:
            return IPv6Address((0xFE80 << 112) + host)
        prefix = self._prefixes.setdefault(address.packed[:8], len(self._prefixes) + 1)
        return IPv6Address((0xFD << 120) + (prefix << 64) + host)


def _shows_kind(bits: int, at: int) -> bool:
    """Return whether the bit at a place tells kinds apart: with another one, 192.5.0.1 might become 192.168.0.1."""
    return any(at < keep and not (bits ^ int(kind.network_address)) >> (32 - min(at, kind.prefixlen)) for kind, keep in _KINDS)

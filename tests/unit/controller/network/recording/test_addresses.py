"""Replaced addresses keep their relation."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.addresses import AddressMap

KEYS = st.binary(min_size=1, max_size=16)


def shared_bits(one: IPv4Address, other: IPv4Address) -> int:
    return 32 - (int(one) ^ int(other)).bit_length()


@given(KEYS, st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_prefixes_are_as_long_as_before(key: bytes, one: IPv4Address, other: IPv4Address) -> None:
    replace = AddressMap(key)
    assert shared_bits(replace.v4(one), replace.v4(other)) == shared_bits(one, other)


@pytest.mark.parametrize("network", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"])
@given(key=KEYS, at=st.integers(0, 65535))
def test_kind_stays(network: str, key: bytes, at: int) -> None:
    address = IPv4Network(network)[at]
    assert AddressMap(key).v4(address) in IPv4Network(network)


@pytest.mark.parametrize("text", ["192.0.0.1", "172.200.0.1", "100.1.2.3", "169.1.2.3"])
def test_public_address_becomes_no_private_one(text: str) -> None:
    kinds = [IPv4Network(kind) for kind in ("172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")]
    found = [AddressMap(key.to_bytes(2, "big")).v4(IPv4Address(text)) for key in range(3000)]
    assert not any(address in kind for address in found for kind in kinds)


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "255.255.255.0", "224.0.0.251"])
def test_addresses_that_are_nobodys_stay(text: str) -> None:
    assert str(AddressMap(b"key").v4(IPv4Address(text))) == text


def test_another_key_gives_other_addresses() -> None:
    found = {str(AddressMap(bytes([key])).v4(IPv4Address("10.20.30.40"))) for key in range(20)}
    assert len(found) > 15


def test_ipv6_keeps_networks_and_kinds() -> None:
    replace = AddressMap(b"key")
    one, other, far = (replace.v6(IPv6Address(text)) for text in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1"))
    assert one.packed[:8] == other.packed[:8] != far.packed[:8]
    assert replace.v6(IPv6Address("fe80::1234")).is_link_local
    assert str(replace.v6(IPv6Address("::1"))) == "::1"
    assert replace.v6(IPv6Address("::ffff:10.20.30.40")).ipv4_mapped == replace.v4(IPv4Address("10.20.30.40"))

"""The address by which a host was reached, as the host itself sees it."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import programs
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.reached import data_address

TWO = [("lo", "127.0.0.1"), ("en0", "10.0.0.7"), ("en1", "192.168.0.7")]
ONE = TWO[:2]


@pytest.mark.parametrize(
    ("planned", "connection", "own", "address", "others"),
    [
        pytest.param("<a>", "10.0.0.1 5 10.0.0.7 22", TWO, "10.0.0.7", ["en1 192.168.0.7"], id="third-word"),
        pytest.param("<a>", "10.0.0.1 5 10.0.0.7 22", ONE, "10.0.0.7", [], id="the-only-one"),
        pytest.param("<a>", "::ffff:10.0.0.1 5 ::ffff:10.0.0.7 22", ONE, "10.0.0.7", [], id="mapped"),
        pytest.param("203.0.113.9", "10.0.0.1 5 10.0.0.7 22", ONE, "10.0.0.7", [], id="forwarded"),
        pytest.param("127.0.0.1", "10.0.0.1 5 10.0.0.7 22", TWO, "127.0.0.1", [], id="its-own-as-planned"),
        pytest.param("<a>", "fe80::1 5 fe80::7%en1 22", TWO, "192.168.0.7", ["en0 10.0.0.7"], id="interface-of-ipv6"),
        pytest.param("<a>", "fd00::1 5 fd00::7 22", TWO, "10.0.0.7", ["en1 192.168.0.7"], id="interface-looked-up"),
        pytest.param("<a>", "fd00::1 5 fd00::99 22", ONE, "10.0.0.7", [], id="ipv6-and-one-address"),
        pytest.param("<a>", "", ONE, "10.0.0.7", [], id="behind-become"),
        pytest.param("<a>", "127.0.0.1 5 127.0.0.1 22", ONE, "127.0.0.1", ["en0 10.0.0.7"], id="tunnel"),
    ],
)
def test_data_address(
    monkeypatch: pytest.MonkeyPatch, planned: str, connection: str, own: list[tuple[str, str]], address: str, others: list[str]
) -> None:
    listed = {"inet": own, "inet6": [("en0", "fd00::7"), ("en1", "fe80::7")]}
    monkeypatch.setattr(programs, "_listed", lambda _option, family: listed[family])
    assert data_address(planned, {"SSH_CONNECTION": connection} if connection else {}) == (address, others, "")


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (
            "fd00::1 5 fd00::99 22",
            "was reached by fd00::99, and cannot tell which",
        ),
        ("", "behind become cannot tell which"),
    ],
)
def test_one_of_several_has_to_be_named(monkeypatch: pytest.MonkeyPatch, connection: str, problem: str) -> None:
    monkeypatch.setattr(programs, "_listed", lambda _option, family: TWO if family == "inet" else [])
    rest = " IPv4 address is for the data; it has en0 10.0.0.7, en1 192.168.0.7; set mlx_ips"
    assert data_address("<a>", {"SSH_CONNECTION": connection}) == ("", [], problem + rest)

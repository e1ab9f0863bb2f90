"""A host says what is missing before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.programs import (
    check_devices,
    describe,
    find_cwd,
    parse_ifconfig,
    parse_ip_addr,
)

# iproute2-6.1, with a peer, a second address and an interface of a container.
IP_ADDR = r"""1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
2: eth0    inet 192.168.1.7/24 brd 192.168.1.255 scope global dynamic noprefixroute eth0\       valid_lft 85000sec preferred_lft 85000sec
2: eth0    inet 192.168.1.8/24 brd 192.168.1.255 scope global secondary eth0:1\       valid_lft forever preferred_lft forever
5: tun0    inet 10.8.0.6 peer 10.8.0.5/32 scope global tun0\       valid_lft forever preferred_lft forever
9: veth1    inet 198.18.0.1/15 scope global veth1\       valid_lft forever preferred_lft forever
"""

# macOS 14: Wi-Fi, Thunderbolt ports under a bridge, a port with an address of its own, a VPN.
IFCONFIG = """\
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\toptions=1203<RXCSUM,TXCSUM,TXSTATUS,SW_TIMESTAMP>
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
\tinet6 fe80::1%lo0 prefixlen 64 scopeid 0x1
\tnd6 options=201<PERFORMNUD,DAD>
gif0: flags=8010<POINTOPOINT,MULTICAST> mtu 1280
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\toptions=6460<TSO4,TSO6,CHANNEL_IO,PARTIAL_CSUM,ZEROINVERT_CSUM>
\tether a0:78:17:00:00:01
\tinet6 fe80::14ab:1:2:3%en0 prefixlen 64 secured scopeid 0xb
\tinet 192.168.1.20 netmask 0xffffff00 broadcast 192.168.1.255
\tnd6 options=201<PERFORMNUD,DAD>
\tmedia: autoselect
\tstatus: active
en2: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 36:00:00:00:00:40
\tinet 169.254.10.2 netmask 0xffff0000 broadcast 169.254.255.255
\tmedia: autoselect <full-duplex>
\tstatus: active
bridge0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tConfiguration:
\t\tid 0:0:0:0:0:0 priority 0 hellotime 0 fwddelay 0
\tmember: en3 flags=3<LEARNING,DISCOVER>
\t        ifmaxaddr 0 port 10 priority 0 path cost 0
\tstatus: inactive
utun4: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> mtu 1280
\tinet 100.64.0.9 --> 100.64.0.9 netmask 0xffffffff
"""

# Debian's net-tools writes "inet" the same way.
NET_TOOLS = (
    "eth0: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n        inet 172.17.0.2  netmask 255.255.0.0  broadcast 172.17.255.255\n"
)


def test_addresses_are_read_from_ip() -> None:
    assert parse_ip_addr(IP_ADDR) == [
        ("lo", "127.0.0.1"),
        ("eth0", "192.168.1.7"),
        ("eth0", "192.168.1.8"),
        ("tun0", "10.8.0.6"),
        ("veth1", "198.18.0.1"),
    ]


def test_addresses_are_read_from_ifconfig() -> None:
    assert parse_ifconfig(IFCONFIG) == [("lo0", "127.0.0.1"), ("en0", "192.168.1.20"), ("en2", "169.254.10.2"), ("utun4", "100.64.0.9")]
    assert parse_ifconfig(NET_TOOLS) == [("eth0", "172.17.0.2")]


@pytest.mark.parametrize("parse", [parse_ip_addr, parse_ifconfig])
@pytest.mark.parametrize("text", ["", "\n", "ip: command not found", "3: eth1: <BROADCAST> mtu 1500", "inet"])
def test_transcript_without_addresses_gives_none(parse: Any, text: str) -> None:
    assert parse(text) == []


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        ([("lo", "127.0.0.1"), ("en0", "10.0.0.1"), ("en2", "169.254.1.1")], "en0 10.0.0.1, en2 169.254.1.1"),
        ([("lo", "127.0.0.1")], "lo 127.0.0.1"),
        ([], "no IPv4 address that it could name"),
    ],
)
def test_addresses_as_a_phrase(addresses: list[tuple[str, str]], text: str) -> None:
    assert describe(addresses) == text


@pytest.mark.parametrize(
    ("nodes", "wanted", "text"),
    [
        (["nvidia0", "nvidia1", "nvidiactl"], ["0", "1"], ""),
        (["nvidia0", "nvidiactl", "nvidia-uvm"], ["0", "1"], "2 ranks with nccl need CUDA device 0, 1, and it has 1 in all"),
        (["nvidia0", "nvidia1"], ["5"], "1 rank with nccl needs CUDA device 5, and it has 2 in all"),
        (["null"], ["0"], "1 rank with nccl needs CUDA device 0, and it has none ({tmp}/nvidia0)"),
        (["dxg"], ["0", "1"], ""),
        (["nvhost-gpu"], ["0"], ""),
        ([], ["MIG-1", "MIG-2"], ""),
        ([], [], ""),
    ],
)
def test_a_cuda_device_for_each_rank(tmp_path: Path, nodes: list[str], wanted: list[str], text: str) -> None:
    for name in nodes:
        (tmp_path / name).touch()
    found: list[str] = []
    check_devices(wanted, found, str(tmp_path))
    assert found == ([text.replace("{tmp}", str(tmp_path))] if text else [])


def test_nccl_on_a_mac_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found: list[str] = []
    check_devices(["0"], found)
    assert found == ["1 rank with nccl needs CUDA device 0; nccl runs on Linux only, and this is darwin"]


@pytest.mark.parametrize(
    ("asked", "default", "home", "found", "problem"),
    [
        ("", "here", "none", "here", ""),
        ("", "gone", "home", "home", ""),
        ("", "", "none", "none", "none is not there, or cannot be entered; name a working directory (--cwd, mlx_cwd)"),
        ("home", "here", "none", "home", ""),
        ("gone", "here", "home", "gone", "gone is not there"),
    ],
)
def test_directory_of_ranks_is_there_before_they_start(
    asked: str, default: str, home: str, found: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    problems: list[str] = []
    chosen = find_cwd(*(name and str(tmp_path / name) for name in (asked, default)), problems)
    assert (chosen, [text.endswith(problem) for text in problems]) == (str(tmp_path / found), [True] * bool(problem))

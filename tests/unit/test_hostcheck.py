"""A host says what is missing before anything is started."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _hostcheck
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._hostcheck import (
    check_devices,
    check_host,
    describe,
    facts,
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


def spec(tmp_path: Path, **wanted: Any) -> dict[str, Any]:
    base = {"python": sys.executable, "script": "", "command": "", "cwd": str(tmp_path), "default_cwd": "", "addresses": [], "listen": []}
    base |= {"port_flag": "--starting-port", "devices": [], "shifts": [0]}
    return {**base, **wanted}


def problems(tmp_path: Path, **wanted: Any) -> list[str]:
    _facts, found, ports = check_host(spec(tmp_path, **wanted))
    ports.close()
    return found  # type: ignore[no-any-return]


def test_host_that_has_everything_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert problems(tmp_path, script="train.py", addresses=["127.0.0.1"], listen=[f"127.0.0.1:{port}"]) == []


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"python": "/nowhere/python"}, "python /nowhere/python is not there, or cannot be run"),
        ({"python": "no-such-python"}, "python no-such-python is not there, or cannot be run"),
        ({"script": "gone.py"}, "script {tmp}/gone.py is not there"),
        ({"script": "/gone.py"}, "script /gone.py is not there"),
        ({"script": "package"}, "script {tmp}/package is a directory without a __main__.py"),
        ({"python": "", "command": "no-such-command"}, "command no-such-command is not there, or cannot be run"),
        ({"python": "", "command": "./plain"}, "command ./plain is not there, or cannot be run"),
        ({"python": "", "command": "package"}, "command package is not there, or cannot be run"),
        ({"cwd": "/nowhere"}, "working directory /nowhere is not there"),
        (
            {"listen": ["127.0.0.1:{used}"]},
            "port 127.0.0.1:{used} cannot be used: {taken}; try another --starting-port",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, wanted: dict[str, Any], text: str) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "plain").touch(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server:
        used = str(server.getsockname()[1])
        who = f" ({Path('/proc/self/comm').read_text().strip()}, process {os.getpid()})" if sys.platform == "linux" else ""
        if "listen" in wanted:
            wanted = {"listen": [address.replace("{used}", used) for address in wanted["listen"]]}
        text = text.replace("{used}", used).replace("{taken}", f"Address already in use{who}")
        assert problems(tmp_path, **wanted) == [text.replace("{tmp}", str(tmp_path))]


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


def test_a_port_that_is_taken_tells_its_own_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        [text] = problems(tmp_path, listen=[f"0.0.0.0:{server.getsockname()[1]}"], port_flag="--nccl-port")
    assert text.endswith("; try another --nccl-port")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, python="/nowhere", script="gone.py", cwd="/nowhere")) == 3


def test_foreign_address_is_told_with_those_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hostcheck, "own_addresses", lambda: parse_ifconfig(IFCONFIG))
    found = problems(tmp_path, addresses=["192.0.2.77", "127.0.0.1"], listen=["192.0.2.77:32323"])
    assert found == ["does not own 192.0.2.77; it has en0 192.168.1.20, en2 169.254.10.2, utun4 100.64.0.9"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_script_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch(0o000)
    assert problems(tmp_path, script="train.py") == [f"script {tmp_path}/train.py cannot be read"]


def test_package_with_a_main_is_a_script(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").touch()
    assert problems(tmp_path, script="package") == []


def test_command_is_found_as_a_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.touch(0o755)
    assert problems(tmp_path, python="", command="bin/tool") == []
    assert problems(tmp_path, python="", command="tool") != []
    monkeypatch.setenv("PATH", f"/nowhere:{program.parent}")
    assert problems(tmp_path, python="", command="tool") == []


def test_python_is_found_relative_to_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    assert problems(tmp_path, python="./python") == []


@pytest.mark.parametrize("there", [True, False])
def test_default_working_directory_is_the_launchers_where_it_exists_else_home(tmp_path: Path, there: bool) -> None:
    wanted = tmp_path if there else tmp_path / "gone"
    known, found, _ports = check_host(spec(tmp_path, cwd="", default_cwd=str(wanted)))
    assert (known["cwd"], found) == (str(wanted) if there else str(Path.home()), [])


def test_facts_have_the_variables_that_change_how_mlx_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_METAL_FAST_SYNCH", "1")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    known = facts("/here")
    assert known["environment"]["MLX_METAL_FAST_SYNCH"] == "1"
    assert "SECRET_TOKEN" not in known["environment"]
    assert (known["cwd"], known["pid"], known["platform"]) == ("/here", os.getpid(), sys.platform)

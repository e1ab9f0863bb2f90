"""Thunderbolt cables of the lab's Macs: real interfaces, and programs that show and set them as a Mac's do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Host, Lab, LabError
from tests.lab.mac.cables import CablePlan, read_plan

HOSTS = ["node1", "node2", "node3", "node4"]
pytestmark = pytest.mark.mac(cables="ring")


def told(host: Host, *words: str) -> str:
    return host.run(words, check=True).stdout


def refused(host: Host, *words: str) -> str:
    done = host.run(words)
    assert done.returncode != 0, done
    return done.stdout + done.stderr


def address(host: Host, interface: str) -> str:
    return next((line.split()[1] for line in told(host, "ifconfig", interface).splitlines() if line.startswith("\tinet ")), "")


# -- the plan


@pytest.mark.parametrize(("word", "count", "cables"), [("ring", 4, 4), ("ring", 2, 1), ("mesh", 4, 6), ("mesh", 8, 28)])
def test_word_is_a_plan(word: str, count: int, cables: int) -> None:
    plan = CablePlan.of(word, [f"node{at}" for at in range(1, count + 1)])
    assert (len(plan.cables), plan.ports) == (cables, max(6, count - 1))


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("star", "'star': want ring, mesh or a file"),
        ({"wires": []}, "unknown: wires"),
        ({"cables": [{"ends": ["node1:1", "node9:1"]}]}, "node9:1 is no port"),
        ({"cables": [{"ends": ["node1:0", "node2:1"]}]}, "node1:0 is no port"),
        ({"cables": [{"ends": ["node1:1", "node2:1"]}, {"ends": ["node1:1", "node3:1"]}]}, "two cables are in node1:1"),
        ({"cables": [{"ends": ["node1:1"]}]}, 'want {"ends"'),
        ({"cables": [{"ends": ["node1:1", "node2:1"], "colour": "red"}]}, 'want {"ends"'),
    ],
)
def test_plan_that_cannot_be_is_refused(wanted: Any, text: str) -> None:
    with pytest.raises(LabError, match="cables: ") as caught:
        CablePlan.of(wanted, HOSTS)
    assert text in str(caught.value)


def test_plan_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"cables": "ring"}')
    assert read_plan(str(tmp_path / "plan.json")) == {"cables": "ring"}
    with pytest.raises(LabError, match="No such file"):
        read_plan(str(tmp_path / "none.json"))


def test_linux_hosts_have_no_thunderbolt_ports(make_lab: Callable[..., Lab]) -> None:
    with pytest.raises(LabError, match="all hosts have to look like Macs"):
        Lab.start(2, cables="ring")
    assert make_lab


# -- the ports


def test_cable_connects_two_hosts_and_no_others(lab: Lab) -> None:
    one, two, three = lab.hosts[:3]
    for host, interface, own in ((one, "en2", "10.1.0.1"), (two, "en3", "10.1.0.2")):
        told(host, "ifconfig", interface, "inet", own, "netmask", "255.255.255.252")
    told(three, "ifconfig", "en3", "inet", "10.1.0.2", "netmask", "255.255.255.252")  # the same, on another cable
    assert "interface: en2" in told(one, "route", "-n", "get", "10.1.0.2")
    connect = "import socket,sys; socket.create_connection(('10.1.0.2', 22), 60).recv(8)"
    told(one, "/usr/bin/python3", "-c", connect)
    for host, interface, own in ((one, "en2", "10.1.0.1"), (two, "en3", "10.1.0.2"), (three, "en3", "10.1.0.2")):
        told(host, "ifconfig", interface, "inet", own, "-alias")


def test_service_outlives_a_restart_and_ifconfig_does_not(lab: Lab) -> None:
    host = lab.hosts[0]
    told(host, "networksetup", "-createnetworkservice", "Fabric", "Thunderbolt 1")
    told(host, "networksetup", "-setmanual", "Fabric", "10.1.0.1", "255.255.255.252")
    told(host, "ifconfig", "en3", "inet", "10.1.0.5", "netmask", "255.255.255.252")
    assert [address(host, name) for name in ("en2", "en3")] == ["10.1.0.1", "10.1.0.5"]
    host.power_off()
    host.power_on()
    assert [address(host, name) for name in ("en2", "en3")] == ["10.1.0.1", ""]
    assert "Manual Configuration\nIP address: 10.1.0.1\n" in told(host, "networksetup", "-getinfo", "Fabric")
    told(host, "networksetup", "-removenetworkservice", "Fabric")
    assert address(host, "en2") == ""


def test_mac_that_is_off_is_seen_by_nobody(lab: Lab) -> None:
    profiler = ("system_profiler", "SPThunderboltDataType", "-json")

    def peers(host: Host) -> int:
        return sum("_items" in bus for bus in json.loads(told(host, *profiler))["SPThunderboltDataType"])

    assert peers(lab.hosts[0]) == 2
    lab.hosts[1].power_off()
    assert peers(lab.hosts[0]) == 1
    lab.hosts[1].power_on()
    assert peers(lab.hosts[0]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("networksetup", "-setmanual", "None", "10.1.0.1", "255.255.255.252"),
        ("networksetup", "-createnetworkservice", "Fabric", "Thunderbolt 99"),
        ("networksetup", "-nonsense"),
        ("ifconfig", "en99", "inet", "10.1.0.1"),
        ("ifconfig", "en2", "inet", "10.9.9.9", "-alias"),
        ("ifconfig", "bridge0", "deletem", "en2"),
        ("route", "change", "10.9.9.9", "-interface", "en2"),
        ("rdma_ctl", "enable"),
    ],
)
def test_wrong_command_fails_as_on_a_mac(lab: Lab, words: tuple[str, ...]) -> None:
    assert refused(lab.hosts[0], *words)


def test_settings_need_root(lab: Lab) -> None:
    for command in ("ifconfig en2 inet 10.1.0.1", "networksetup -setdhcp Ethernet", "route add 10.9.9.9 -interface en2"):
        done: subprocess.CompletedProcess[str] = lab.ssh("mlx@node1", command)
        assert done.returncode != 0, command

"""Ours beside mlx.distributed_config of the MLX that is installed, on the same Macs.

Its ssh is a program that answers from a recording. Where it is right, ours is equal: graph, numbers of cables, order of
hosts, shape of the hostfile; not the addresses, which it takes from 192.168.0.0/16. Where it is wrong, both are shown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import write_recording
from mlxlaunch_ansible import network
from tests.unit.macs import Cluster, macs, mesh, ring

CONFIG = Path(sys.executable).with_name("mlx.distributed_config")
PATIENCE = 240

SSH = """#!{python}
import pathlib, sys
words = sys.argv[1:]
while words[0] == "-o":
    del words[:2]
host, command = pathlib.Path({folder!r}, words[0]), words[1:]
files = {{
    "system_profiler": "system_profiler.json",
    "networksetup": "hardware_ports.txt",
    "ibv_devices": "ibv_devices.txt",
}}
if command[0] in files:
    path = host / files[command[0]]
    print(path.read_text() if path.exists() else "", end="")
elif command[0] == "ipconfig":
    print({{"en0": host.joinpath("ssh.txt").read_text().strip()}}.get(command[2], ""))
elif "ifconfig" in " ".join(command):
    pathlib.Path({folder!r}, "setup").open("a").write(words[0] + " " + " ".join(command) + "\\n")
"""


@dataclass
class Theirs:
    """The end of mlx.distributed_config.

    Attributes:
        status: its exit status.
        out, err: its output.
        setup: the commands that it ran on hosts.
    """

    status: int
    out: str
    err: str
    setup: str

    @property
    def hostfile(self) -> Any:
        return json.loads(self.out[self.out.index("Hostfile\n========\n") :].split("========\n", 1)[1])


@dataclass
class Bed:
    """Macs that both tools look at."""

    folder: Path
    names: list[str]

    def theirs(self, *words: str) -> Theirs:
        program = self.folder / "bin/ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(SSH.format(python=sys.executable, folder=str(self.folder / "recording")))
        program.chmod(0o755)
        env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        argv = [str(CONFIG), "--hosts", ",".join(self.names), *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        setup = self.folder / "recording/setup"
        return Theirs(done.returncode, done.stdout, done.stderr, setup.read_text() if setup.exists() else "")

    def ours(self, **options: Any) -> Any:
        return network(replay=self.folder / "recording", **options)


@pytest.fixture
def bed(tmp_path: Path) -> Callable[[Cluster], Bed]:
    def made(cluster: Cluster) -> Bed:
        write_recording(str(tmp_path / "recording"), cluster.answers())
        return Bed(tmp_path, [mac.name for mac in cluster.macs])

    return made


Make = Callable[[Cluster], Bed]
RIGHT = {
    "two": ring(2),
    "two with two cables": macs(2, rdma=True).cable("a1", "b1").cable("a2", "b2"),
    "ring of four": ring(4),
    "ring of four with rdma": ring(4, rdma=True),
    "ring of five with rdma": ring(5, rdma=True),
    "mesh of three": mesh(3),
    "mesh of four with rdma": mesh(4, rdma=True),
    "another order": macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2"),
    "wide ring": ring(3).cable("a3", "b3").cable("b4", "c3").cable("c4", "a4"),
    "wide mesh with rdma": ring(3, rdma=True).cable("a3", "b3").cable("b4", "c3").cable("c4", "a4"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("cluster", RIGHT.values(), ids=RIGHT)
def test_graph_is_equal(bed: Make, cluster: Cluster) -> None:
    hosts = bed(cluster)
    theirs = hosts.theirs("--dot")
    assert theirs.status == 0
    assert sorted(hosts.ours().dot.splitlines()) == sorted(theirs.out.splitlines())


@pytest.mark.sweep
@pytest.mark.parametrize("cluster", RIGHT.values(), ids=RIGHT)
def test_backend_order_devices_and_shape_are_equal(bed: Make, cluster: Cluster) -> None:
    hosts = bed(cluster)
    theirs = hosts.theirs("--auto-setup").hostfile
    plan = hosts.ours(over="thunderbolt").network["plan"]
    assert plan["backend"] == theirs["backend"]
    assert [rank["host"] for rank in plan["ranks"]] == [host["ssh"] for host in theirs["hosts"]]
    assert [rank["rdma"] for rank in plan["ranks"]] == [host["rdma"] for host in theirs["hosts"]]
    assert [len(rank["ips"]) for rank in plan["ranks"]] == [len(host["ips"]) for host in theirs["hosts"]]
    if plan["backend"] != "ring":
        assert [rank["ips"] for rank in plan["ranks"]] == [host["ips"] for host in theirs["hosts"]]


def test_ethernet_addresses_are_equal(bed: Make) -> None:
    hosts = bed(macs(3))
    theirs = hosts.theirs("--over", "ethernet").hostfile
    assert [rank["ips"] for rank in hosts.ours(over="ethernet").network["plan"]["ranks"]] == [host["ips"] for host in theirs["hosts"]]


# -- where it is wrong


def without_tag(cluster: Cluster) -> Cluster:
    cluster["a"].without_tag = (5,)
    return cluster


def without_interface(cluster: Cluster) -> Cluster:
    cluster["a"].without_interface = (5,)
    return cluster


@pytest.mark.parametrize("cluster", [without_tag(ring(3)), without_interface(ring(3))], ids=["no receptacle", "no hardware port"])
def test_idle_port_that_lacks_a_field_ends_theirs_with_a_traceback(bed: Make, cluster: Cluster) -> None:
    hosts = bed(cluster)
    theirs = hosts.theirs("--dot")
    assert (theirs.status, "KeyError" in theirs.err) == (1, True)
    assert hosts.ours().network["plan"]["backend"] == "ring"


def test_mac_behind_a_dock_is_missing_in_theirs(bed: Make) -> None:
    hosts = bed(macs(2).cable("a1", "b2", through=("Dock",), speed="40 Gb/s"))
    assert "Neither thunderbolt mesh nor ring" in hosts.theirs().err
    assert len(hosts.ours(over="thunderbolt").network["cables"]) == 1


def test_cable_that_one_side_sees_makes_theirs_lopsided(bed: Make) -> None:
    hosts = bed(ring(3).cable("a3", "b3", seen_from="b"))
    assert hosts.theirs("--dot").out.count(" -- ") == 3  # that cable is printed from the side that does not see it
    assert hosts.ours().dot.count(" -- ") == 4


def test_narrow_order_of_the_hosts_hides_the_wide_one_in_theirs(bed: Make) -> None:
    cluster = macs(4, ports=8)
    cables = ("a1 b1", "c1 d1", "a2 c2", "a3 c3", "b2 c4", "b3 c5", "b4 d2", "b5 d3", "a4 d4", "a5 d5")
    for ends in cables:
        cluster.cable(*ends.split())
    hosts = bed(cluster)
    assert [len(host["ips"]) for host in hosts.theirs("--auto-setup").hostfile["hosts"]] == [1] * 4
    assert hosts.ours(over="thunderbolt").network["plan"]["width"] == 2


def test_rdma_by_names_of_devices_is_offered_by_theirs_on_a_slow_link(bed: Make) -> None:
    hosts = bed(macs(2, rdma=True).cable("a1", "b1", speed="40 Gb/s"))
    assert hosts.theirs("--auto-setup").hostfile["backend"] == "jaccl"
    assert hosts.ours(over="thunderbolt").network["plan"]["backend"] == "ring"


def test_addresses_of_a_home_network_are_taken_by_theirs(bed: Make) -> None:
    cluster = ring(3)
    for at, mac in enumerate(cluster.macs):
        mac.addresses["en0"] = f"192.168.0.{at + 1}/24"
    hosts = bed(cluster)
    assert [host["ips"] for host in hosts.theirs("--auto-setup").hostfile["hosts"]][1] == ["192.168.0.2"]  # which b's en0 has too
    ours = [ip for rank in hosts.ours(over="thunderbolt").network["plan"]["ranks"] for ip in rank["ips"]]
    assert not any(ip.startswith("192.168.0.") for ip in ours)


def test_given_address_stands_twice_in_theirs(bed: Make, tmp_path: Path) -> None:
    cluster = macs(2)
    hosts = bed(cluster)
    hosts.names = ["198.18.0.1", "198.18.0.2"]
    for name, address in zip("ab", hosts.names, strict=True):
        (tmp_path / "recording" / address).symlink_to(tmp_path / "recording" / name)
    assert hosts.theirs("--over", "ethernet").hostfile["hosts"][0]["ips"] == ["198.18.0.1", "198.18.0.1"]
    assert hosts.ours(over="ethernet").network["plan"]["ranks"][0]["ips"] == ["198.18.0.1"]


def test_standard_output_of_theirs_is_no_json(bed: Make) -> None:
    out = bed(ring(3)).theirs("--auto-setup").out
    assert re.match(r"Running auto setup for a\n", out)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(out)


def test_cables_outside_of_the_ring_are_set_up_by_theirs(bed: Make) -> None:
    hosts = bed(mesh(4))
    # Three cables a host, of which the ring has two.
    assert [line.count(" inet ") for line in hosts.theirs("--auto-setup").setup.splitlines()] == [3, 3, 3, 3]
    assert sum(cable["used"] for cable in hosts.ours(over="thunderbolt").network["cables"]) == 4


def test_theirs_waits_for_a_key_that_nobody_presses(bed: Make) -> None:
    hosts = bed(ring(3))
    theirs = hosts.theirs()
    assert (theirs.status, "EOFError" in theirs.err) == (1, True)
    assert hosts.ours(over="thunderbolt").network["plan"]["setup"]["a"]


def test_profiler_that_answers_nothing_ends_theirs_with_a_traceback(bed: Make) -> None:
    cluster = ring(3)
    cluster["a"].answers["system_profiler.json"] = ""
    hosts = bed(cluster)
    theirs = hosts.theirs("--dot")
    assert (theirs.status, "JSONDecodeError" in theirs.err) == (1, True)
    assert hosts.ours(over="ethernet").returncode == 0


def test_one_host_with_rdma_ends_theirs_with_a_traceback(bed: Make) -> None:
    hosts = bed(macs(1, rdma=True))
    theirs = hosts.theirs("--auto-setup")
    assert (theirs.status, "ValueError" in theirs.err) == (1, True)
    found = hosts.ours()
    assert (found.returncode, found.message) == (3, "a network needs two hosts, and here is one that could be asked")

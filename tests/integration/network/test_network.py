"""A look at the network of the lab's hosts: the command, the playbook and Python give one plan."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml

from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, Cluster, Done, in_time
from tests.lab.start import CHECKOUT

PLAYBOOK = str(CHECKOUT / "playbooks/network.yml")
FOUR = ["node1", "node2", "node3", "node4"]


def look(cluster: Cluster, *words: str | os.PathLike[str]) -> Done:
    """Run `mlxlaunch network` to its end."""
    return cluster._run([*MLXLAUNCH, "network", *words])


def document(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.mac
def test_ring_of_macs_is_found_planned_and_recorded(cluster: Cluster) -> None:
    inventory, vars_ = cluster.inventory(FOUR), cluster.here / "vars"
    done = look(cluster, "-i", inventory, "--over", "thunderbolt", "--json", "--record", "recording", "--output-vars", vars_)
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert found["topology"]["ring"] == {"hosts": FOUR, "width": 1}
    assert [len(cable["seen_from"]) for cable in found["cables"]] == [2, 2, 2, 2]
    assert {host["version"] for host in found["hosts"]} == {"26.2"}
    ranks = found["plan"]["ranks"]
    assert [yaml.safe_load((vars_ / host / "mlx_network.yml").read_text())["mlx_ips"] for host in FOUR] == [rank["ips"] for rank in ranks]
    again = look(cluster, "--replay", "recording", "--over", "thunderbolt", "--json")
    assert again.returncode == 0, again.stderr
    assert document(again)["topology"]["matrix"] == found["topology"]["matrix"]
    assert not any(host in path.read_text() for path in (cluster.here / "recording").rglob("*.*") for host in FOUR)


@pytest.mark.mac
def test_playbook_shows_the_same_and_check_mode_writes_nothing(cluster: Cluster) -> None:
    inventory = cluster.inventory(FOUR)
    words = ["-e", "mlx_network_over=ethernet", "-e", "mlx_network_output_hostfile=hosts.json"]
    done = cluster._run([ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, "--check", *words])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"node1  en0        Ether 10G  {cluster.hosts[0].address}/24" in done.stdout
    assert not (cluster.here / "hosts.json").exists()
    cluster._run([ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, *words])
    assert [host["ips"] for host in json.loads((cluster.here / "hosts.json").read_text())["hosts"]] == [[h.address] for h in cluster.hosts]


@pytest.mark.mac
def test_command_line_of_distributed_config_gives_a_hostfile(cluster: Cluster) -> None:
    addresses = ",".join(host.address for host in cluster.hosts)
    done = cluster._run([*MLXLAUNCH, "config", "--hosts", addresses, "--over", "ethernet"])
    assert done.returncode == 0, done.stderr
    assert [host["ips"] for host in json.loads(done.stdout)["hosts"]] == [[host.address] for host in cluster.hosts]


def test_linux_hosts_meet_over_ethernet_and_one_that_is_off_is_named(cluster: Cluster) -> None:
    inventory = cluster.inventory(FOUR)
    assert document(look(cluster, "-i", inventory, "--json"))["plan"]["over"] == "ethernet"
    cluster.hosts[1].power_off()
    done, _limit = in_time(
        lambda limit: look(cluster, "-i", inventory, "--connect-timeout", limit),
        lambda done: all(f"{name}  " in done.stdout for name in ("node1", "node3", "node4")),
    )
    assert (done.returncode, "node3" in done.stdout, "node2" in done.stderr) == (3, True, True)
    done, _limit = in_time(
        lambda limit: look(cluster, "-i", inventory, "--connect-timeout", limit, "--ignore-unreachable", "--json"),
        lambda done: len(document(done)["plan"]["ranks"]) == 3,
    )
    assert [rank["host"] for rank in document(done)["plan"]["ranks"]] == ["node1", "node3", "node4"]

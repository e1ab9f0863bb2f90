"""Backends that cannot run here are started all the same, with what they need, and refused when a host lacks it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster, read_until

# Tells what jaccl reads.
JACCL = """
import json, os
env = {name: value for name, value in os.environ.items() if "JACCL" in name}
print("JACCL" + json.dumps([os.environ["MLX_RANK"], env, json.load(open(os.environ["MLX_IBV_DEVICES"]))]), flush=True)
"""
RDMA = [[None, "rdma_en2", "rdma_en3"], ["rdma_en2", None, ["rdma_en4", "rdma_en5"]], ["rdma_en3", ["rdma_en4", "rdma_en5"], None]]


@contextlib.contextmanager
def gpus(cluster: Cluster, *counts: int) -> Iterator[None]:
    """Let the first hosts seem to have as many CUDA devices."""
    nodes = [host.path(f"/dev/nvidia{number}") for host, count in zip(cluster.hosts, counts, strict=False) for number in range(count)]
    for node in nodes:
        node.touch()
    try:
        yield
    finally:
        for node in nodes:
            node.unlink()


def jaccl_said(text: str) -> list[list[Any]]:
    """What the ranks of JACCL said, by rank."""
    return sorted(json.loads(line.partition("JACCL")[2]) for line in text.splitlines() if "JACCL[" in line)


def test_a_hostfile_with_rdma_is_an_inventory_for_jaccl(cluster: Cluster) -> None:
    """By the plugin for `-i`, whose host variables are mlx_rdma, and by the launcher."""
    entries = [{"ssh": f"root@{host.address}", "ips": [host.address], "rdma": row} for host, row in zip(cluster.hosts, RDMA, strict=False)]
    path = cluster.json("hosts.json", {"backend": "jaccl", "envs": [], "hosts": entries})
    script = cluster.script(JACCL)
    coordinator = {"MLX_JACCL_COORDINATOR": f"{cluster.hosts[0].address}:32323"}
    wanted = [[str(rank), coordinator, RDMA] for rank in range(3)]
    done = cluster.playbook(path, "-e", f"mlx_script={script}", "-e", f"mlx_python={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert jaccl_said(done.stdout) == wanted
    done = cluster.mlxlaunch("-i", path, "--python", sys.executable, script)
    assert done.returncode == 0, done.stderr
    assert jaccl_said(done.stdout) == wanted


def test_command_line_is_stronger_than_the_hostfile(cluster: Cluster) -> None:
    entries = [
        {"ssh": f"root@{host.address}", "ips": [host.address], "rdma": row[:2]} for host, row in zip(cluster.hosts, RDMA[:2], strict=False)
    ]
    path = cluster.json("hosts.json", {"backend": "ring", "hosts": entries})
    done = cluster.mlxlaunch("--hostfile", path, "--backend", "jaccl-ring", "--python", sys.executable, "-p", "4000", cluster.script(JACCL))
    assert done.returncode == 0, done.stderr
    env = {"MLX_JACCL_COORDINATOR": f"{cluster.hosts[0].address}:4000", "MLX_JACCL_RING": "1"}
    assert [said[1] for said in jaccl_said(done.stdout)] == [env, env]


def test_a_job_with_jaccl_can_be_run_again(cluster: Cluster) -> None:
    hosts = {name: {"mlx_rdma": row} for name, row in zip(("node1", "node2", "node3"), RDMA, strict=True)}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts, mlx_backend="jaccl"), cluster.script(JACCL))
    assert done.returncode == 0, done.stderr
    [run] = cluster.runs.iterdir()
    assert json.loads((run / "job.json").read_text())["backend"] == "jaccl"
    again = cluster.mlxlaunch("--from-run", run.name)
    assert again.returncode == 0, again.stderr
    assert jaccl_said(again.stdout) == jaccl_said(done.stdout) != []


def test_more_ranks_than_cuda_devices_are_refused_by_host(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {"mlx_slots": 3}, "node3": {}})
    script = cluster.script("print('RAN', flush=True)")
    with gpus(cluster, 2, 2):
        done = cluster.mlxlaunch("-i", inventory, "--backend", "nccl", script)
    assert (done.returncode, done.stdout) == (3, "")
    assert "2 of 3 hosts not ready: node2, node3; no rank was started anywhere" in done.stderr
    assert "  node2  3 ranks with nccl need CUDA device 0, 1, 2, and it has 2 in all" in done.stderr
    assert "  node3  1 rank with nccl needs CUDA device 0, and it has none (/dev/nvidia0)" in done.stderr
    with gpus(cluster, 2, 3, 1):
        done = cluster.mlxlaunch("-i", inventory, "--backend", "nccl", script)
    assert (done.returncode, done.stdout) == (0, "RAN\n" * 6), done.stderr


def test_devices_are_those_a_host_s_variables_list(cluster: Cluster) -> None:
    hosts = {"node1": {"mlx_slots": 2, "mlx_env": {"CUDA_VISIBLE_DEVICES": "3,1"}}, "node2": {}}
    script = cluster.script("import os; print('DEVICE', os.environ['MLX_RANK'], os.environ['CUDA_VISIBLE_DEVICES'], flush=True)")
    with gpus(cluster, 4, 1):
        done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--backend", "nccl", script)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["DEVICE 0 3", "DEVICE 1 1", "DEVICE 2 0"]
    with gpus(cluster, 3, 1):
        done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--backend", "nccl", script)
    assert "  node1  2 ranks with nccl need CUDA device 3, 1, and it has 3 in all" in done.stderr


def test_check_tells_that_devices_are_missing(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"])
    with gpus(cluster, 1):
        done = cluster._run([sys.executable, "-m", "mlxlaunch_ansible", "check", "-i", inventory, "--backend", "nccl"])
    assert done.returncode == 3, done.stderr
    assert "1 rank with nccl needs CUDA device 0, and it has none" in done.stdout
    assert "1 of 2 hosts not ready: node2" in done.stderr


@pytest.mark.parametrize(
    ("backend", "port", "flag"),
    [("nccl", 12345, "--nccl-port"), ("jaccl", 32323, "--starting-port"), ("jaccl-ring", 32323, "--starting-port")],
)
def test_a_port_that_is_taken_is_told_on_the_host_of_rank_0(cluster: Cluster, backend: str, port: int, flag: str) -> None:
    hosts = {name: {"mlx_rdma": row[:2]} for name, row in zip(("node1", "node2"), RDMA, strict=False)}
    program = f"import socket; s = socket.create_server(('0.0.0.0', {port})); print('up', flush=True); s.accept()"
    script = cluster.script("")
    with gpus(cluster, 1, 1), contextlib.ExitStack() as stack:
        # On the other host nobody wants it.
        for host in cluster.hosts[:2]:
            process = stack.enter_context(
                cluster.started(["ssh", "-F", cluster.lab.ssh_config, host.name, f'{sys.executable} -c "{program}"'])
            )
            assert process.stdout
            read_until(process.stdout.fileno(), b"up\n")
        done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--backend", backend, script)
        for host in cluster.hosts[:2]:
            host.kill_ssh()
            host.kill_all()
    assert done.returncode == 3, done.stderr
    assert "1 of 2 hosts not ready: node1" in done.stderr
    assert f":{port} cannot be used: Address already in use (python" in done.stderr
    assert f"; try another {flag}" in done.stderr


def test_a_hostfile_that_asks_for_an_unknown_backend_is_refused(cluster: Cluster) -> None:
    path = cluster.json("hosts.json", {"backend": "gloo", "hosts": [{"ssh": "root@node1", "ips": ["198.18.0.11"]}]})
    done = cluster.mlxlaunch("--hostfile", path, cluster.script(""))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mlxlaunch: hostfile: unknown backend 'gloo'; this version starts: ring, ")

"""Several jobs at a time, and ports that are taken."""

from __future__ import annotations

import contextlib
import json

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.port_range import FIRST, LAST
from tests.integration.cluster import ALL_SUM, MLXLAUNCH, PATIENCE, Cluster, last_run, right_sums, sums

# Until someone connects.
SERVER = """\
import socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("up", flush=True)
server.accept()
"""
CONNECT = "import socket; socket.create_connection(('127.0.0.1', 32324))"


def test_jobs_that_start_at_the_same_moment_do_not_collide(cluster: Cluster) -> None:
    inventory = str(cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {}}))
    command = [*MLXLAUNCH, "run", "-i", inventory, "--starting-port", "auto", ALL_SUM]
    with contextlib.ExitStack() as stack:
        jobs = [stack.enter_context(cluster.started(command)) for _job in range(3)]
        for job in jobs:
            out, errors = job.communicate(timeout=PATIENCE)
            assert job.returncode == 0, errors
            assert sums(out.decode()) == right_sums(3)


def test_record_has_the_range_that_was_found(cluster: Cluster) -> None:
    inventory = str(cluster.inventory(["node1", "node2"]))
    done = cluster.mlxlaunch("-i", inventory, "--starting-port", "auto", ALL_SUM)
    assert done.returncode == 0, done.stderr
    record = json.loads((last_run(cluster) / "job.json").read_text(encoding="utf-8"))
    ports = [int(address.rpartition(":")[2]) for rank in record["ranks"] for address in rank["listen"]]
    assert ports == [ports[0], ports[0] + 1]
    assert FIRST <= ports[0] < LAST
    assert record["settings"]["starting_port"] == "auto"


def test_port_that_is_taken_names_host_port_and_process(cluster: Cluster) -> None:
    script = cluster.script(SERVER, "server.py")
    inventory = str(cluster.inventory(["node1", "node2"]))
    server = ["nsenter", f"--target={cluster.hosts[1].pid}", "--mount", "--net", "--pid", "--", "python3", script, "32324"]
    with cluster.started(server) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        done = cluster.mlxlaunch("-i", inventory, ALL_SUM)
        cluster.hosts[1].run(["python3", "-c", CONNECT], check=True)
        assert process.wait(PATIENCE) == 0
    assert done.returncode == 3
    assert f"node2  port {cluster.hosts[1].address}:32324 cannot be used: Address already in use (python3, process" in done.stderr


def test_world_of_one_needs_no_ring(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-n", "1", ALL_SUM)
    assert (done.returncode, sums(done.stdout)) == (0, right_sums(1)), done.stderr

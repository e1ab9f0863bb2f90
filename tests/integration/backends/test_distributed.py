"""MLX's distributed operations are right on as many ranks as were asked for: what MLX tests of itself, launched by us."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.integration.cluster import Cluster
from tests.lab.start import CHECKOUT

#: Those that can run here.
BACKENDS = ["ring", "mpi"]
PROGRAM = str(CHECKOUT / "tests/integration/programs/distributed.py")
#: Ranks per host by number of ranks.
HOSTS = {2: [1, 1], 3: [1, 1, 1], 4: [1, 1, 1, 1], 8: [2, 2, 2, 2]}
#: Seconds. Ranks of a ring that wait turn in a loop, and are more than there are cores.
PATIENCE = 400.0


@pytest.mark.sweep
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", HOSTS)
def test_operations_are_right(cluster: Cluster, backend: str, size: int) -> None:
    hosts = {host.name: {"mlx_slots": slots} for host, slots in zip(cluster.hosts, HOSTS[size], strict=False)}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--backend", backend, PROGRAM, backend, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    said = sorted(line.partition(":")[0] for line in done.stdout.splitlines())
    assert said == [f"ok rank {rank} of {size} by {backend}" for rank in range(size)]


def test_the_program_is_not_content_with_a_world_of_one() -> None:
    """MLX falls back to it when something is missing."""
    env = os.environ | {"RANK": "0", "WORLD_SIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, PROGRAM, "any"], env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "ok" not in done.stdout

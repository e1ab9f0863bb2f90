"""The supervisor on the Python that macOS ships, 3.9: the whole of it, on real hosts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import ALL_SUM, Cluster, right_sums, sums


def python39() -> str:
    """Return a Python 3.9 that the lab's hosts have too, or skip."""
    given = os.environ.get("MLXLAUNCH_PY39")
    found = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))
    python = given or (str(found[-1]) if found else shutil.which("python3.9"))
    if not python:
        pytest.skip("no Python 3.9 here; name one in MLXLAUNCH_PY39")
    return python


def test_supervisor_runs_on_python_3_9(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], ansible_python_interpreter=python39())
    script = "for n in range(50000): print(n, 'x' * 40)"
    done = cluster.mlxlaunch("-i", inventory, "--verbose", cluster.script(script))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("supervisor on Python 3.9.") == 2
    assert len(done.stdout.splitlines()) == 100000


def test_failure_is_handled_on_python_3_9(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], ansible_python_interpreter=python39())
    script = (
        "import os, subprocess, sys, time\nsubprocess.Popen(['sleep', '900'])\nos.environ['RANK'] == '1' and sys.exit(7)\ntime.sleep(900)"
    )
    done = cluster.mlxlaunch("-i", inventory, cluster.script(script))
    assert done.returncode == 7
    assert "rank 1 on node2 exited with code 7" in done.stderr


@pytest.mark.parametrize("mpirun", ["/usr/bin/mpirun", str(Path(sys.executable).with_name("mpirun"))], ids=["4.1", "5.0"])
def test_mpirun_is_served_on_python_3_9(cluster: Cluster, mpirun: str) -> None:
    inventory = cluster.inventory(["node1", "node2"], ansible_python_interpreter=python39())
    done = cluster.mlxlaunch("-i", inventory, "--verbose", "--backend", "mpi", "--mpirun", mpirun, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("supervisor on Python 3.9.") == 2
    assert sums(done.stdout) == right_sums(2)

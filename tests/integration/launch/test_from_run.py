"""A job run again from its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlxlaunch_ansible import run_job
from tests.integration.cluster import Cluster, last_run

WHO = "import os, sys; print(sys.argv[1:], os.environ.get('A'), 'first')"


@pytest.fixture
def project(cluster: Cluster) -> str:
    """A directory with a script, on the controller only."""
    folder = cluster.here / "llm"
    folder.mkdir()
    (folder / "train.py").write_text(WHO, encoding="utf-8")
    return str(folder / "train.py")


def run(cluster: Cluster, project: str, *words: str) -> str:
    """Run it on two hosts; return the job's id."""
    inventory = cluster.inventory(["node1", "node2"])
    done = cluster.mlxlaunch("-i", inventory, "--project-dir", cluster.here / "llm", *words, project, "--lr", "1")
    assert done.returncode == 0, done.stderr
    return last_run(cluster).name


def test_the_same_runs_again(cluster: Cluster, project: str) -> None:
    job = run(cluster, project, "--env", "A=x")
    done = cluster.mlxlaunch("--from-run", job, "--env", "A=x")
    assert (done.returncode, done.stdout) == (0, "['--lr', '1'] x first\n" * 2), done.stderr
    records = [json.loads((path / "job.json").read_text(encoding="utf-8")) for path in (last_run(cluster), cluster.runs / job)]
    assert records[0]["deployed"] == records[1]["deployed"]
    assert records[0]["ranks"] == records[1]["ranks"]


def test_values_that_are_not_recorded_are_asked_for(cluster: Cluster, project: str) -> None:
    job = run(cluster, project, "--env", "A=hidden-value")
    assert "hidden-value" not in (cluster.runs / job / "job.json").read_text(encoding="utf-8")
    done = cluster.mlxlaunch("--from-run", job)
    assert done.returncode == 2
    assert done.stderr == "mlxlaunch: that run was given A for its ranks; values are not recorded, so give them again by --env\n"


def test_a_changed_project_runs_as_it_was(cluster: Cluster, project: str) -> None:
    job = run(cluster, project)
    Path(project).write_text("print('second')", encoding="utf-8")
    done = cluster.mlxlaunch("--from-run", job)
    assert (done.returncode, done.stdout) == (0, "['--lr', '1'] None first\n" * 2), done.stderr
    assert "is not what it was; running /opt/mlxlaunch/projects/llm/" in done.stderr


def test_what_is_gone_everywhere_is_told_by_host(cluster: Cluster, project: str) -> None:
    job = run(cluster, project)
    (cluster.here / "llm/train.py").write_text("print('another')", encoding="utf-8")
    for path in cluster.hosts[1].path("/opt/mlxlaunch/projects/llm").glob("*/train.py"):
        path.unlink()
    done = cluster.mlxlaunch("--from-run", job)
    assert done.returncode == 3
    assert "node2  script /opt/mlxlaunch/projects/llm/" in done.stderr
    assert "node1  " not in done.stderr


def test_other_hosts_than_then_are_refused(cluster: Cluster, project: str) -> None:
    job = run(cluster, project)
    cluster.inventory(["node1", "node3"])
    done = cluster.mlxlaunch("--from-run", job)
    assert done.returncode == 2
    assert "rank 1 is now on node3 (198.18.0.13:32324), it was on node2 (198.18.0.12:32324)" in done.stderr


def test_nothing_else_goes_with_it(cluster: Cluster, project: str) -> None:
    job = run(cluster, project)
    for words in (["-n", "2"], ["--grace", "1"], ["train.py"]):
        done = cluster.mlxlaunch("--from-run", job, *words)
        assert (done.returncode, done.stdout) == (2, ""), words


def test_an_unknown_run_is_one_line(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("--from-run", "nosuch")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nosuch/job.json: No such file or directory" in done.stderr


def test_hosts_of_a_mapping_are_reached_as_they_were(cluster: Cluster) -> None:
    """Their names are no addresses, and the user is not the one that launches."""
    hosts = {name: {"ansible_host": host.address, "ansible_user": "mlx"} for name, host in zip(("one", "two"), cluster.hosts, strict=False)}
    script = cluster.script("import os; print(os.getuid(), os.environ['MLX_RANK'], os.environ['A'])")
    with cluster.lab.enter():
        done = run_job(cluster.mapping(hosts, mlx_env={"A": "canary"}), script)
    assert done.returncode == 0, done.message
    text = "".join(path.read_text(encoding="utf-8") for path in done.run_dir.rglob("*.json*"))
    assert "canary" not in text
    again = cluster.mlxlaunch("--from-run", done.job)
    assert (again.returncode, "A for its ranks" in again.stderr) == (2, True)
    again = cluster.mlxlaunch("--from-run", done.job, "--env", "A=x")
    assert (again.returncode, sorted(again.stdout.splitlines())) == (0, ["2000 0 x", "2000 1 x"]), again.stderr

"""A dry run tells what would be done, asks no host and writes nothing; a job then does it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError, plan_job, run_job
from tests.integration.cluster import Cluster, Done
from tests.integration.launch.test_rank_environment import GIVEN, given

SECRET = "hunter2-sesame"


def no_ssh(cluster: Cluster) -> tuple[dict[str, str], Path]:
    """Return an environment in which every ssh leaves a trace, and the trace."""
    trace = cluster.here / "ssh was used"
    folder = cluster.here / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("ssh", "rsync", "scp", "sftp"):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $*" >> "{trace}"\nexit 255\n')
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{cluster.env['PATH']}"}, trace


def dry_run(cluster: Cluster, *words: str | Path) -> Done:
    """Run `mlxlaunch run --dry-run`, which may not use ssh nor make a run directory."""
    env, trace = no_ssh(cluster)
    done = cluster.mlxlaunch("--dry-run", *words, env=env)
    assert not trace.exists(), trace.read_text()
    assert not cluster.runs.exists()
    return done


def test_the_trace_of_ssh_shows_what_a_job_does(cluster: Cluster) -> None:
    """Else the other tests here would prove nothing."""
    env, trace = no_ssh(cluster)
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), cluster.script(""), env=env)
    assert done.returncode == 3
    assert trace.exists()


def test_text_has_a_block_for_each_part(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {"mlx_python": "/other/python"}}, mlx_root="/opt/mine")
    script = cluster.script(GIVEN)
    done = dry_run(cluster, "-i", inventory, "--env", f"TOKEN={SECRET}", "--cwd", "/data", script, "--lr", "a b")
    assert (done.returncode, done.stderr) == (0, "")
    blocks = done.stdout.rstrip("\n").split("\n\n")
    assert blocks[0] == "3 ranks on 2 hosts, backend ring"
    assert [line.split() for line in blocks[1].splitlines()] == [
        ["rank", "host", "slot", "listens", "on"],
        ["0", "node1", "1", "of", "2", "198.18.0.11:32323"],
        ["1", "node1", "2", "of", "2", "198.18.0.11:32324"],
        ["2", "node2", "1", "of", "1", "198.18.0.12:32325"],
    ]
    entry = '  {"ssh": "root@198.18.0.1%d", "ips": ["198.18.0.1%d"]}'
    assert blocks[2].splitlines() == ["hostfile", *(entry % (at, at) for at in (1, 1, 2))]
    assert f"project {script}, digest " in blocks[3]
    assert ": /opt/mine/projects/train/" in blocks[3]
    assert blocks[4].splitlines()[0] == "file, on every host: MLX_HOSTFILE"
    assert json.loads("".join(blocks[4].splitlines()[1:])) == [["198.18.0.11:32323"], ["198.18.0.11:32324"], ["198.18.0.12:32325"]]
    shared, own = blocks[5].splitlines(), blocks[6].splitlines()
    assert {"  TOKEN=***", "  WORLD_SIZE=3", "  MASTER_ADDR=198.18.0.11", "  MLX_HOSTFILE=<folder>/MLX_HOSTFILE"} <= set(shared)
    assert own[2] == "  1: LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MLXLAUNCH_JOB=<id>.0 MLX_RANK=1 RANK=1"
    assert blocks[7].startswith(f"command of ranks 0-1\n  {sys.executable} /opt/mine/projects/train/")
    assert blocks[7].endswith("/train.py --lr 'a b'\n  in /data")
    assert blocks[8].startswith("command of rank 2\n  /other/python /opt/mine/")
    assert blocks[9].startswith("  <folder>  ")


def test_json_plan_equals_those_of_api_and_check_mode(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {}}, mlx_env={"TOKEN": SECRET})
    script = cluster.script(GIVEN)
    done = dry_run(cluster, "--json", "-i", inventory, script)
    assert (done.returncode, done.stderr) == (0, "")
    plan = json.loads(done.stdout)
    with cluster.lab.enter():
        assert plan_job(inventory, script) == plan
    play = cluster.json("play.yml", playbook(script))
    env, trace = no_ssh(cluster)
    done = cluster._run([Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, play, "--check", "-vvv"], env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not trace.exists()
    assert SECRET not in done.stdout + done.stderr
    said = json.loads((cluster.here / "result.json").read_text())
    assert (said["changed"], said["msg"]) == (True, "would run 3 ranks on 2 hosts, backend ring")
    # Where nothing says so, ranks run where the launch was typed, with the Python that launches: both are the same here.
    assert said["plan"] == plan
    assert "3 ranks on 2 hosts, backend ring\n" in done.stdout + done.stderr
    assert not cluster.runs.exists()


def playbook(script: str) -> list[dict[str, Any]]:
    """Return a play that launches and writes down its result."""
    copy = {"content": "{{ job | to_json }}", "dest": "result.json"}
    tasks = [
        {"mlxlaunch.cluster.launch": {"script": script}, "register": "job"},
        {"ansible.builtin.copy": copy, "delegate_to": "localhost", "connection": "local", "check_mode": False, "run_once": True},
    ]
    return [{"hosts": "mlx", "gather_facts": False, "tasks": tasks}]


def test_playbook_in_check_mode_shows_the_plan(cluster: Cluster) -> None:
    env, trace = no_ssh(cluster)
    script = cluster.script(GIVEN)
    inventory = cluster.inventory(["node1", "node2"], mlx_env={"TOKEN": SECRET})
    done = cluster.playbook(inventory, "--check", "-e", f"mlx_script={script}", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    for line in ("2 ranks on 2 hosts, backend ring", "file, on every host: MLX_HOSTFILE", "  TOKEN=***", "command of every rank"):
        assert line in text.splitlines(), text
    assert SECRET not in text
    assert not trace.exists()
    assert not cluster.runs.exists()


@pytest.mark.parametrize("backend", ["ring", "jaccl"])
def test_a_job_does_what_its_plan_says(cluster: Cluster, backend: str) -> None:
    """Environment, files, words and directory; also from the deployed project, whose path is told beforehand."""
    source = GIVEN.replace('open(os.environ["MLX_HOSTFILE"])', 'open(os.environ.get("MLX_HOSTFILE") or os.environ["MLX_IBV_DEVICES"])')
    source = source.replace('os.stat(os.environ["MLX_HOSTFILE"]).st_mode', "0")
    project = cluster.here / "project"
    project.mkdir()
    (project / "train.py").write_text(source)
    rdma = [[None, "rdma_en2"], ["rdma_en2", None]]
    hosts = {name: {"mlx_rdma": row} for name, row in zip(("node1", "node2"), rdma, strict=True)}
    inventory = cluster.inventory(hosts, mlx_env={"A": "x y", "TOKEN": "{{ 'se' + 'cret' }}"}, mlx_root=str(cluster.here / "root"))
    settings: dict[str, Any] = {"backend": backend, "project_dir": project, "verbose": True}
    with cluster.lab.enter():
        plan = plan_job(inventory, project / "train.py", **settings)
        result = run_job(inventory, project / "train.py", check=True, **settings)
    said = given("".join(path.read_text() for rank in result.ranks.values() if (path := rank.stdout)))
    assert len(said) == plan["world_size"] == 2
    [content] = plan["files"].values()
    for planned, one in zip(plan["ranks"], said, strict=True):
        fixed = {name: value for name, value in planned["env"].items() if "<" not in value}
        assert {"A": "x y", "TOKEN": "secret"}.items() <= fixed.items()
        assert {name: one["env"][name] for name in fixed} == fixed
        assert set(planned["env"]) - set(fixed) == {"MLXLAUNCH_JOB", *plan["files"]} <= set(one["env"])
        assert (one["ring"], [one["python"], *one["argv"]], one["cwd"]) == (content, planned["argv"], planned["cwd"])


def test_what_only_hosts_can_tell_is_said(cluster: Cluster) -> None:
    script = cluster.script("")
    lock = cluster.here / "requirements.lock"
    lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    done = dry_run(cluster, "--json", "-i", cluster.inventory(["node1", "node2"]), "--environment", lock, script)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["ranks"][0]["argv"][0] == "<root>/envs/<key>/bin/python"
    assert plan["deploy"]["environment"]["path"] == "<root>/envs/<key>"
    assert set(plan["unknown"]) == {"<root>", "<key>", "<folder>", "<id>"}
    # A script alone is run where it is, when all hosts have the same there.
    assert plan["deploy"]["project"]["or_at"] == script
    done = dry_run(cluster, "--json", "-i", cluster.inventory(["node1"]), "--no-sync", "--environment", lock, script)
    plan = json.loads(done.stdout)
    assert (plan["deploy"], plan["ranks"][0]["argv"][1]) == ({"project": None, "environment": None}, script)


def test_ports_that_are_found_at_the_launch_are_told_as_such(cluster: Cluster) -> None:
    done = dry_run(cluster, "-i", cluster.inventory(["node1", "node2"]), "--starting-port", "auto", cluster.script(""))
    assert done.returncode == 0, done.stderr
    assert "... " in done.stdout
    assert "a launch takes a range that is free on every host" in done.stdout


def test_this_machine_brings_nothing_to_itself(cluster: Cluster) -> None:
    done = dry_run(cluster, "--json", "-n", "2", cluster.script(""))
    plan = json.loads(done.stdout)
    assert (plan["world_size"], plan["deploy"]["project"], set(plan["unknown"])) == (2, None, {"<folder>", "<id>"})


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--json", "train.py"], "--json goes with --dry-run"),
        (["--dry-run"], "no script is given"),
        (["--dry-run", "--backend", "rign", "train.py"], "unknown backend 'rign'"),
        (["--dry-run", "--backend", "jaccl", "train.py"], "jaccl needs to know the RDMA devices of node1, node2: set mlx_rdma"),
        (["--dry-run", "--starting-port", "65535", "train.py"], "ports 65535 to 65536 are needed"),
        (["--dry-run", "--nccl-port", "0", "train.py"], "--nccl-port 0: a port is a number"),
    ],
)
def test_wrong_usage_is_one_line(cluster: Cluster, words: list[str], text: str) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_hosts_are_a_usage_error_for_the_api(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="jaccl runs one rank per host.*node1 2"):
        plan_job(cluster.inventory({"node1": {"mlx_slots": 2}}), command=["true"], backend="jaccl")

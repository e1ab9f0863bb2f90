"""Jobs that mpirun wires up, with the fourth series of Open MPI (Debian's) and the fifth (the environment's)."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import log_path
from tests.integration.cluster import ALL_SUM, MLXLAUNCH, PATIENCE, Cluster, Done, is_ours, job_files, last_run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

FOUR, FIVE = "/usr/bin/mpirun", str(Path(sys.executable).with_name("mpirun"))
NODES = ["node1", "node2", "node3", "node4"]
#: What mpirun and its daemons are called.
SERVICES = ("mpirun", "mpirun.openmpi", "orted", "prted", "prterun", "prte")

INIT = "import mlx.core as mx, os, signal, sys, time\nworld = mx.distributed.init(backend='mpi')\n"
READY = "print('ready', flush=True)\n"
#: Goes on when every rank has come here, and so has printed all that stands before. Some may still be in it, and fail there.
ALL_ARE_HERE = "mx.eval(mx.distributed.all_sum(mx.ones(1)))\n"


@pytest.fixture(params=[FOUR, FIVE], ids=["4.1", "5.0"])
def mpirun(request: pytest.FixtureRequest) -> str:
    """Path of an mpirun that every host has."""
    path = str(request.param)
    assert os.access(path, os.X_OK), f"{path} is not there"
    return path


@pytest.fixture(autouse=True)
def nothing_left(cluster: Cluster) -> Iterator[None]:
    """Fail a test that leaves mpirun, a daemon or a rank behind, or files of theirs."""
    yield
    for host in cluster.hosts:
        if host.is_on:
            assert [process.name for process in host.leftovers() if not is_ours(process)] == [], host.name
            wait_until(lambda host=host: not host.leftovers(), f"our own programs have left {host.name}")
            files = [*host.path("/tmp").glob("*"), *host.path("/dev/shm").glob("*")]
            assert [file.name for file in files if re.match("ompi|prte|pmix|vader|sm_", file.name)] == [], host.name
            assert job_files(host) == [], host.name


def launch(cluster: Cluster, mpirun: str, *words: str, hosts: list[str] | None = None) -> Done:
    """Run a script under mpirun on hosts, all if not said."""
    inventory = str(cluster.inventory(hosts or NODES))
    return cluster.mlxlaunch("-i", inventory, "--backend", "mpi", "--mpirun", mpirun, *words)


def command(cluster: Cluster, mpirun: str, *words: str) -> list[str]:
    """Return the command line that launches a script on all hosts."""
    return [*MLXLAUNCH, "run", "-i", str(cluster.inventory(NODES)), "--backend", "mpi", "--mpirun", mpirun, *words]


def test_ranks_add_up_without_ssh_between_the_hosts(cluster: Cluster, mpirun: str) -> None:
    refused = cluster.hosts[0].run(
        ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", cluster.hosts[1].address, "true"], capture_output=True, text=True
    )
    assert refused.returncode == 255
    done = launch(cluster, mpirun, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"rank {rank} of 4: 10" for rank in range(4)]
    assert "mpirun" not in done.stderr


def test_ranks_of_a_host_follow_each_other(cluster: Cluster, mpirun: str) -> None:
    names = "('MLX_RANK', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE')"
    script = cluster.script(
        f"{INIT}print(' '.join(map(str, [world.rank(), world.size(), *map(os.environ.get, {names}), os.uname().nodename])))\n"
    )
    hosts = {"node2": {"mlx_slots": 1}, "node1": {"mlx_slots": 3}}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--backend", "mpi", "--mpirun", mpirun, script)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "0 4 0 0 1 node2",
        "1 4 1 0 3 node1",
        "2 4 2 1 3 node1",
        "3 4 3 2 3 node1",
    ]


def test_each_byte_has_its_rank_and_stream(cluster: Cluster, mpirun: str) -> None:
    script = cluster.script(
        "import os, sys\nrank = os.environ['MLX_RANK']\n"
        "os.write(1, b'out ' + rank.encode() + b' \\xff\\x00 no newline')\nos.write(2, b'err ' + rank.encode())\n"
    )
    inventory = str(cluster.inventory(NODES))
    done = cluster.mlxlaunch("-i", inventory, "--backend", "mpi", "--mpirun", mpirun, script, text=False)
    assert done.returncode == 0, done.stderr
    for rank in range(4):
        assert log_path(last_run(cluster), rank, "stdout").read_bytes() == b"out %d \xff\x00 no newline" % rank
        assert log_path(last_run(cluster), rank, "stderr").read_bytes() == b"err %d" % rank


def test_variables_arrive_and_stay_out_of_every_command_line(cluster: Cluster, mpirun: str) -> None:
    script = cluster.script(
        "import os, subprocess\n"
        "listed = subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True, check=True).stdout\n"
        "told = [os.environ['TOKEN'], os.environ['FROM_ARG'], 'hidden-value' in listed, os.environ.get('TMPDIR')]\n"
        "print(' '.join(map(str, told)))\n"
    )
    done = launch(cluster, mpirun, "--env", "TOKEN=hidden-value", "--mpi-arg", "-x 'FROM_ARG=hidden-value too'", script, hosts=NODES[:2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["hidden-value hidden-value too False None"] * 2


FAILURES = {
    "exit": ("sys.exit(7)", 7),
    "text": ("sys.exit('no')", 1),
    "exception": ("raise ValueError('wrong')", 1),
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", 137),
    "at once": ("os._exit(9)", 9),
}


@pytest.mark.parametrize(("how", "returncode"), FAILURES.values(), ids=FAILURES)
def test_one_rank_that_fails_ends_all_and_gives_its_status(cluster: Cluster, mpirun: str, how: str, returncode: int) -> None:
    script = cluster.script(f"{INIT}{READY}{ALL_ARE_HERE}if world.rank() == 2:\n    {how}\ntime.sleep(600)\n")
    done = launch(cluster, mpirun, "--prefix", script)
    assert done.returncode == returncode, done.stderr
    assert "rank 2 on node3" in done.stderr
    assert sorted(line for line in done.stdout.splitlines() if "ready" in line) == [f"[{rank} node{rank + 1}] ready" for rank in range(4)]


def test_caught_exit_is_none(cluster: Cluster, mpirun: str) -> None:
    script = cluster.script(f"{INIT}try:\n    sys.exit(7)\nexcept SystemExit:\n    pass\nprint('on')\n")
    done = launch(cluster, mpirun, script, hosts=NODES[:2])
    assert (done.returncode, done.stdout) == (0, "on\non\n"), done.stderr


def test_ranks_that_ignore_term_are_killed_after_the_grace(cluster: Cluster, mpirun: str) -> None:
    ignoring = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    with cluster.gate(cluster.hosts[1], "gate") as gate:
        failing = f"if world.rank() == 1:\n    open({gate.path!r}, 'rb', 0).read(1)\n    os._exit(5)\n"
        script = cluster.script(f"{ignoring}{INIT}{READY}{failing}time.sleep(600)\n")
        with cluster.started(command(cluster, mpirun, "--grace", "0.5", script)) as process:
            assert process.stdout
            assert [process.stdout.readline() for _rank in NODES] == [b"ready\n"] * 4
            gate.open()
            _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 5
    assert b"SIGKILL" in err


def test_interrupted_launch_leaves_nothing(cluster: Cluster, mpirun: str) -> None:
    script = cluster.script(f"{INIT}{READY}time.sleep(600)\n")
    with cluster.started(command(cluster, mpirun, script)) as process:
        assert process.stdout
        ready = [process.stdout.readline() for _rank in NODES]
        assert ready == [b"ready\n"] * 4
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


@pytest.mark.parametrize("what", ["mpirun", "daemon"])
def test_mpirun_or_a_daemon_that_is_killed_ends_the_job(cluster: Cluster, mpirun: str, what: str) -> None:
    script = cluster.script(f"{INIT}{READY}time.sleep(600)\n")
    victim = cluster.hosts[0 if what == "mpirun" else 2]
    with cluster.started(command(cluster, mpirun, script)) as process:
        assert process.stdout
        assert process.stderr
        assert [process.stdout.readline() for _rank in NODES] == [b"ready\n"] * 4
        for running in victim.leftovers():
            if running.name in SERVICES:
                victim.kill(running.pid)
        assert process.wait(PATIENCE) != 0
        told = process.stderr.read().decode()
    assert victim.name in told
    assert "mpirun" in told


def test_automatic_ports_do_not_disturb_mpirun(cluster: Cluster) -> None:
    done = launch(cluster, FIVE, "--starting-port", "auto", ALL_SUM, hosts=NODES[:2])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["rank 0 of 2: 3", "rank 1 of 2: 3"]

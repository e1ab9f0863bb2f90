"""Jobs under mpirun when something is missing, or goes wrong, or is not as usual; and the ways in."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlxlaunch_ansible import run_job
from tests.integration.backends.test_mpi import ALL_ARE_HERE, FIVE, FOUR, INIT, READY, SERVICES
from tests.integration.cluster import (
    ALL_SUM,
    LEASE,
    MLXLAUNCH,
    PATIENCE,
    Cluster,
    Done,
    is_ours,
    job_files,
    programs_of_ours,
    right_sums,
    sums,
)
from tests.lab import Host
from tests.lab.trust import trusted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

TWO = ["node1", "node2"]
BASE = f"{sys.base_prefix}/bin/python3"
FOREVER = f"{INIT}{READY}time.sleep(600)\n"
OURS = re.compile("ompi|openmpi|prte|pmix|vader|sm_")
both = pytest.mark.parametrize("mpirun", [FOUR, FIVE], ids=["4.1", "5.0"])


def left(host: Host) -> list[str]:
    """What jobs have left on a host: processes and files."""
    files = [*host.path("/tmp").glob("*"), *host.path("/dev/shm").glob("*")]
    names = [file.name for file in files if OURS.match(file.name)] + [str(path) for path in job_files(host)]
    return [process.name for process in host.leftovers()] + names


@pytest.fixture(autouse=True)
def nothing_left(cluster: Cluster) -> Iterator[None]:
    """Fail a test that leaves anything on a host which is on."""
    for host in cluster.hosts:
        for path in host.path("/dev/shm").glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    yield
    if not cluster.may_leave_files:
        wait_until(
            lambda: not any(host.is_on and any(map(is_ours, host.leftovers())) for host in cluster.hosts), "our own programs have left"
        )
        assert {host.name: found for host in cluster.hosts if host.is_on and (found := left(host))} == {}


def words(mpirun: str, inventory: Path, *options: str) -> list[str]:
    return ["-i", str(inventory), "--backend", "mpi", "--mpirun", mpirun, *options]


def launch(cluster: Cluster, mpirun: str, *options: str, hosts: Sequence[str] = TWO) -> Done:
    """Run a script under an mpirun on two hosts if not said."""
    return cluster.mlxlaunch(*words(mpirun, cluster.inventory(hosts), *options))


class Running:
    """A job that has started: every rank is up."""

    def __init__(self, process: subprocess.Popen[bytes], ranks: int) -> None:
        assert process.stdout
        self.process = process
        ready = [process.stdout.readline() for _rank in range(ranks)]
        assert ready == [b"ready\n"] * ranks, process.communicate()

    def end(self) -> tuple[int, str]:
        """Wait for its end; return the exit status and what was told."""
        _out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err.decode()


@pytest.fixture
def running(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Running]:
    """Give a job on three hosts, under the mpirun the test is for, else that of 5.0."""
    mpirun = getattr(request, "param", FIVE)
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {"mlx_slots": 2}, "node3": {}})
    options = words(mpirun, inventory, "--lease", LEASE, "--grace", "1", cluster.script(FOREVER))
    with cluster.started([*MLXLAUNCH, "run", *options]) as process:
        yield Running(process, 5)


with_both = pytest.mark.parametrize("running", [FOUR, FIVE], ids=["4.1", "5.0"], indirect=True)


def put_mpirun(host: Host, prefix: str, version: str) -> str:
    """Give a host a program that says that it is some mpirun, and does nothing else; return its path."""
    program = host.path(f"{prefix}/bin/mpirun")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho 'mpirun (Open MPI) {version}'\n")
    program.chmod(0o755)
    host.path(f"{prefix}/lib").mkdir(exist_ok=True)
    host.path(f"{prefix}/lib/libmpi.so.40").touch()
    return f"{prefix}/bin/mpirun"


@pytest.fixture
def prefix(cluster: Cluster) -> Iterator[str]:
    """Give a place for programs on the hosts."""
    yield "/srv/mpi"
    for host in cluster.hosts:
        host.run(["rm", "-rf", "/srv/mpi"], check=True)


# -- before anything starts


def test_missing_on_one_host(cluster: Cluster, prefix: str) -> None:
    mpirun = put_mpirun(cluster.hosts[0], prefix, "5.0.8")
    done = launch(cluster, mpirun, ALL_SUM)
    assert (done.returncode, done.stdout) == (3, "")
    assert "1 of 2 hosts not ready: node2; no rank was started anywhere" in done.stderr
    assert f"node2  mpirun is not there (looked for {mpirun})" in done.stderr


def test_different_versions(cluster: Cluster, prefix: str) -> None:
    put_mpirun(cluster.hosts[0], prefix, "5.0.8")
    mpirun = put_mpirun(cluster.hosts[1], prefix, "4.1.4")
    done = launch(cluster, mpirun, ALL_SUM)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"node2  {mpirun} is Open MPI 4.1.4 here and 5.0.8 on node1" in done.stderr
    assert "no rank was started anywhere" in done.stderr


def test_one_that_not_all_hosts_have_is_passed_over(cluster: Cluster) -> None:
    """Debian's is the last place looked at, and all hosts have it there."""
    script = cluster.script("import os\nprint(os.environ['MLX_MPI_LIBNAME'])\n")
    try:
        for host, place in zip(cluster.hosts, ("/usr/local", "/opt/homebrew"), strict=False):
            put_mpirun(host, place, "5.0.8")
        done = cluster.mlxlaunch("-i", cluster.inventory(TWO), "--python", BASE, "--backend", "mpi", script)
    finally:
        for host, place in zip(cluster.hosts, ("/usr/local", "/opt/homebrew"), strict=False):
            host.run(["rm", "-rf", f"{place}/bin/mpirun", f"{place}/lib/libmpi.so.40"], check=True)
    assert done.returncode == 0, done.stderr
    assert all(re.fullmatch(r"/usr/lib/.*libmpi\.so\.40", line) for line in done.stdout.splitlines()), done.stdout
    assert done.stdout.count("\n") == 2


def test_quote_that_is_not_closed(cluster: Cluster) -> None:
    done = launch(cluster, FIVE, "--mpi-arg", "-x 'A=b", ALL_SUM)
    assert done.returncode == 2
    assert "--mpi-arg: item 1: a quote is not closed" in done.stderr


@both
def test_unknown_option_fails_with_what_mpirun_says(cluster: Cluster, mpirun: str) -> None:
    done = launch(cluster, mpirun, "--mpi-arg=--no-such-option", ALL_SUM)
    assert (done.returncode, done.stdout) == (3, "")
    (last,) = [line for line in done.stderr.splitlines() if line.endswith("(exit status 3)")]
    assert last.startswith("mlxlaunch: mpirun on node1 ended with status")
    assert "; it said: " in last
    assert "no-such-option" in done.stderr


def test_rank_on_the_wrong_host_ends_the_job(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {}})
    done = cluster.mlxlaunch(*words(FIVE, inventory, "--mpi-arg", "--map-by node", cluster.script("import time\ntime.sleep(600)\n")))
    assert done.returncode == 3, done.stderr
    assert re.search(r"mpirun on (node2: wants rank 1|node1: wants rank 2) here, which the rank table has elsewhere", done.stderr)


# -- hosts that are not as usual


def test_names_of_hosts_mislead_nobody(cluster: Cluster) -> None:
    """One has the name of another, two differ in their domain only, and one is not this machine."""
    names = {"node2": "node1", "localhost": "node2", "n.one": "node3", "n.two": "node4"}
    inventory = cluster.inventory({name: {"ansible_host": host} for name, host in names.items()})
    done = cluster.mlxlaunch(*words(FIVE, inventory, ALL_SUM))
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_own_host_names_that_differ_in_the_domain_are_refused(cluster: Cluster) -> None:
    try:
        for host, name in zip(cluster.hosts, ("mac.one", "mac.two"), strict=False):
            host.run(["sysctl", "-w", f"kernel.hostname={name}"], check=True)
        done = launch(cluster, FIVE, ALL_SUM)
    finally:
        for host in cluster.hosts:
            host.run(["sysctl", "-w", f"kernel.hostname={host.name}"], check=True)
    assert done.returncode == 3
    assert "node1  calls itself mac, as node2 does" in done.stderr


def test_login_shell_is_sh(cluster: Cluster) -> None:
    """Then mpirun wants the user's profile read before its daemon is started."""
    passwd = cluster.hosts[0].path("/etc/passwd")
    before = passwd.read_text()
    try:
        passwd.write_text(before.replace("/bin/bash", "/bin/sh"))
        done = launch(cluster, FOUR, ALL_SUM)
    finally:
        passwd.write_text(before)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(2)


def test_another_user_s_by_become(cluster: Cluster) -> None:
    inventory = cluster.inventory(TWO, ansible_become=True, ansible_become_user="mlx")
    done = cluster.mlxlaunch(*words(FIVE, inventory, cluster.script(f"{INIT}print(str(world.size()) + ' ' + str(os.getuid()))\n")))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 2000\n" * 2


def test_version_that_takes_longer_than_the_lease(cluster: Cluster, prefix: str) -> None:
    for host in cluster.hosts[:2]:
        program = host.path(put_mpirun(host, prefix, "5.0.8"))
        program.write_text("#!/bin/sh\nsleep 5.5\necho none\n")
    done = launch(cluster, f"{prefix}/bin/mpirun", "--lease", LEASE, ALL_SUM)
    assert done.returncode == 3
    assert "is not Open MPI; it says: none" in done.stderr


def test_news_of_a_rank_that_come_long_after_mpirun_s_end(cluster: Cluster) -> None:
    cluster.hosts[1].slow(rate="4mbit")
    script = cluster.script("import os\nif os.environ['MLX_RANK'] == '1':\n    for n in range(20000): print('x' * 60)\n")
    done = launch(cluster, FIVE, script)
    cluster.hosts[1].slow()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 20000


# -- with ssh between the hosts


@pytest.fixture
def trusting(cluster: Cluster) -> Iterator[None]:
    """Let node1 reach the others by ssh, as root."""
    head, *others = cluster.hosts
    with trusted(head, others):
        yield


@both
@pytest.mark.usefixtures("trusting")
def test_classic_way(cluster: Cluster, mpirun: str) -> None:
    told = "print(world.size(), flush=True)\n"
    script = cluster.script(f"{INIT}{told}{ALL_ARE_HERE}if world.rank() == 1:\n    sys.exit(7)\ntime.sleep(600)\n")
    done = launch(cluster, mpirun, "--mpi-agent", "ssh", script, hosts=["node1", "node2", "node3"])
    assert (done.returncode, done.stdout) == (7, "3\n" * 3), done.stderr
    assert "rank 1 on node2 exited with code 7" in done.stderr
    wait_until(lambda: not any(left(host) for host in cluster.hosts), "mpirun's daemons have ended")


def test_classic_way_without_keys_fails_with_what_ssh_says(cluster: Cluster) -> None:
    """ssh has no terminal to ask at."""
    done = launch(cluster, FIVE, "--mpi-agent", "ssh", ALL_SUM)
    assert done.returncode == 3
    assert "Host key verification failed" in done.stderr or "Permission denied" in done.stderr


# -- while ranks run


def test_head_that_loses_power(cluster: Cluster, running: Running) -> None:
    cluster.hosts[0].power_off()
    status, told = running.end()
    assert status == 3, told
    assert "mlxlaunch: node1: silent for" in told
    wait_until(lambda: not any(left(host) for host in cluster.hosts[1:]), "nothing is left")


@pytest.mark.parametrize("running", [FOUR], ids=["4.1"], indirect=True)
def test_host_that_loses_power_and_one_whose_network_is_cut(cluster: Cluster, running: Running) -> None:
    cluster.may_leave_files = True  # on the host that could not tell everything
    head, cut, off, _spare = cluster.hosts
    cut.cut()
    off.power_off()
    status, told = running.end()
    assert status == 3, told
    assert "mlxlaunch: node2: silent for" in told
    assert "mlxlaunch: node3: silent for" in told
    wait_until(lambda: not cut.leftovers(), "nothing runs on the cut host")
    assert left(head) == []


@pytest.mark.parametrize("victim", [0, 1], ids=["head", "other"])
def test_supervisor_that_is_killed(cluster: Cluster, running: Running, victim: int) -> None:
    host = cluster.hosts[victim]
    host.kill(programs_of_ours(host)["supervisor"])
    status, told = running.end()
    assert status == 3, told
    assert host.name in told
    wait_until(lambda: not any(left(host) for host in cluster.hosts), "nothing is left")


@with_both
def test_launcher_that_is_killed(cluster: Cluster, running: Running) -> None:
    assert all(set(SERVICES) & {process.name for process in host.leftovers()} for host in cluster.hosts[:3])
    running.process.kill()
    wait_until(lambda: not any(left(host) for host in cluster.hosts), "nothing is left")


def test_interrupt_while_mpirun_starts_its_daemons(cluster: Cluster) -> None:
    """The daemons are wanted while the job is being ended: none is started where nobody would end it."""
    inventory = cluster.inventory(["node1", "node2", "node3", "node4"])
    with cluster.started([*MLXLAUNCH, "run", *words(FIVE, inventory, cluster.script(FOREVER))]) as process:
        wait_until(lambda: {found.name for found in cluster.hosts[0].leftovers()} & set(SERVICES), "mpirun has started")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


# -- ways in


def test_run_job(cluster: Cluster) -> None:
    with cluster.lab.enter():
        result = run_job(cluster.inventory(TWO), ALL_SUM, backend="mpi", mpirun=FIVE, mpi_args=["-x A=b"], check=True)
    assert sums("".join(rank.stdout.read_text() for rank in result.ranks.values())) == right_sums(2)


def test_ansible_playbook(cluster: Cluster) -> None:
    settings = {"script": ALL_SUM, "backend": "mpi", "mpirun": FIVE, "mpi_args": '"-x A=b"'}
    options = [word for name, value in settings.items() for word in ("-e", f"mlx_{name}={value}")]
    done = cluster.playbook(cluster.inventory(TWO), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sums(done.stdout) == right_sums(2)


# -- a world of one


def test_ring_that_silently_stays_down_fails_the_job(cluster: Cluster) -> None:
    script = cluster.script("import os\ndel os.environ['MLX_HOSTFILE']\n" + Path(ALL_SUM).read_text())
    done = cluster.mlxlaunch("-i", cluster.inventory(TWO), script)
    assert done.returncode == 1
    assert "this job has 2 ranks, and rank" in done.stderr
    assert "MLX_HOSTFILE is gone, or was changed by the program" in done.stderr

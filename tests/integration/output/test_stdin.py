"""What is written to the launcher's standard input is what ranks read: whole, at once, and in the way of nobody."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxlaunch_ansible import Job, UsageError, run_job, start_job
from tests.integration.cluster import MLXLAUNCH, PATIENCE, Cluster, ansible_processes, last_run, read_until
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

MEGABYTE = 1024 * 1024

# Reads to the end, and tells what it was.
DIGEST = """
import hashlib, os, sys
digest, size = hashlib.sha256(), 0
while data := os.read(0, 65536):
    digest.update(data)
    size += len(data)
print(f"{os.environ['RANK']} {size} {digest.hexdigest()}", flush=True)
"""
WHAT = "import os; print(os.environ['RANK'] + ' ' + os.readlink('/proc/self/fd/0').partition(':')[0])"
#: As text and as the ranks tell it.
NULL, PIPE = os.devnull, "pipe"


@pytest.fixture
def two(cluster: Cluster) -> Path:
    return cluster.inventory(["node1", "node2"])


def lines(text: str) -> list[str]:
    return sorted(text.splitlines())


def digest_line(rank: int, data: bytes) -> str:
    return f"{rank} {len(data)} {hashlib.sha256(data).hexdigest()}"


# -- who reads


def test_all_ranks_read_what_a_pipe_has_unless_told_otherwise(cluster: Cluster, two: Path) -> None:
    data = bytes(range(256)) * 10
    for options in ([], ["--stdin", "all"]):
        done = cluster.mlxlaunch("-i", two, *options, cluster.script(DIGEST), stdin=None, input=data, text=False)
        assert done.returncode == 0, done.stderr
        assert lines(done.stdout.decode()) == [digest_line(0, data), digest_line(1, data)]


def test_one_rank_reads_and_the_other_has_none(cluster: Cluster, two: Path) -> None:
    done = cluster.mlxlaunch("-i", two, "--stdin", "1", cluster.script(WHAT + "; print(len(os.read(0, 100)))"), stdin=None, input="hello")
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout) == ["0", "0 /dev/null", "1 pipe", "5"]


@pytest.mark.parametrize(
    ("options", "given", "what"),
    [([], "x", PIPE), ([], "", NULL), ([], None, NULL), (["--stdin", "none"], "x", NULL), (["--stdin", "all"], None, PIPE)],
)
def test_ranks_have_a_pipe_only_for_an_input_or_when_told_to(
    cluster: Cluster, two: Path, options: list[str], given: str | None, what: str
) -> None:
    path = cluster.here / "input"
    path.write_text(given or "")
    with path.open() as source:
        done = cluster.mlxlaunch("-i", two, *options, cluster.script(WHAT), stdin=subprocess.DEVNULL if given is None else source)
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout) == [f"0 {what}", f"1 {what}"]


def test_command_line_is_stronger_than_the_inventory_variable(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], mlx_stdin=1)
    script = cluster.script(WHAT)
    done = cluster.mlxlaunch("-i", inventory, script, stdin=None, input="x")
    assert lines(done.stdout) == ["0 /dev/null", "1 pipe"], done.stderr
    done = cluster.mlxlaunch("-i", inventory, "--stdin", "0", script, stdin=None, input="x")
    assert lines(done.stdout) == ["0 pipe", "1 /dev/null"], done.stderr


def test_ansible_playbook_has_no_standard_input_to_give(cluster: Cluster, two: Path) -> None:
    done = cluster.playbook(two, "-e", f"mlx_script={cluster.script(WHAT)}", "-e", "mlx_stdin=all", stdin=None, input="x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 /dev/null" in done.stdout
    assert "1 /dev/null" in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--stdin", "2"], "--stdin 2: the ranks are 0 to 1"),
        (["--stdin", "some"], "--stdin some: want all, none, or the number of a rank"),
        (["--tty"], "--tty: only one of 2 ranks can have the terminal; say which with --stdin RANK"),
    ],
)
def test_a_rank_that_is_not_there_is_told_and_nothing_starts(cluster: Cluster, two: Path, options: list[str], told: str) -> None:
    done = cluster.mlxlaunch("-i", two, *options, cluster.script("print('ran')"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mlxlaunch: {told}\n"


# -- whole, and in nobody's way


@pytest.fixture
def flood(cluster: Cluster) -> bytes:
    """100 MB in a file named flood."""
    data = os.urandom(MEGABYTE) * 100
    (cluster.here / "flood").write_bytes(data)
    return data


def test_100_mb_arrive_whole_at_every_rank(cluster: Cluster, two: Path, flood: bytes) -> None:
    with (cluster.here / "flood").open("rb") as source:
        done = cluster.mlxlaunch("-i", two, cluster.script(DIGEST), stdin=source)
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout) == [digest_line(0, flood), digest_line(1, flood)]


def test_rank_that_does_not_read_stalls_nobody_nor_fills_memory(cluster: Cluster, two: Path, flood: bytes) -> None:
    memory = "for line in open(f'/proc/{os.getppid()}/status'):\n    if 'VmHWM' in line: print('supervisor', line.split()[1], flush=True)\n"
    wait = "import os\nif os.environ['RANK'] == '0': open(os.environ['GATE'], 'rb', 0).read(1)\n"
    script = cluster.script(wait + DIGEST + memory)
    with cluster.gate(cluster.hosts[0], "gate") as gate, (cluster.here / "flood").open("rb") as source:
        argv = [*MLXLAUNCH, "run", "-i", two, "--env", f"GATE={gate.path}", script]
        with cluster.started(argv, stdin=source) as process:
            assert process.stdout
            seen = read_until(process.stdout.fileno(), digest_line(1, flood).encode() + b"\n")
            assert digest_line(0, flood).encode() not in seen
            _main, worker = ansible_processes(process)
            peak = {name: peak_of(pid) for name, pid in (("launcher", process.pid), ("worker", worker))}
            gate.open()
            out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    said = (seen + out).decode()
    assert digest_line(0, flood) in said
    assert max(peak.values()) < 150_000, peak
    assert max(int(kilobytes) for kilobytes in re.findall(r"supervisor (\d+)", said)) < 50_000, said


def peak_of(pid: int) -> int:
    """Return the most memory a process has had, in kB."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0])


def test_a_full_disk_stalls_and_loses_nothing(cluster: Cluster, two: Path, flood: bytes) -> None:
    with (cluster.here / "flood").open("rb") as source, cluster.gate(cluster.hosts[0], "gate") as gate:
        wait = "import os\nif os.environ['RANK'] == '0': print('up', flush=True); open(os.environ['GATE'], 'rb', 0).read(1)\n"
        argv = [*MLXLAUNCH, "run", "-i", two, "--env", f"GATE={gate.path}", "--stdin", "0", cluster.script(wait + DIGEST)]
        with cluster.started(argv, stdin=source) as process:
            assert process.stdout
            seen = read_until(process.stdout.fileno(), b"up\n")
            cluster.hosts[0].fill_disk()
            gate.open()
            out, err = process.communicate(timeout=PATIENCE)
            cluster.hosts[0].free_disk()
    assert process.returncode == 0, err
    assert digest_line(0, flood) in (seen + out).decode()


def test_ranks_that_end_or_close_it_early_are_no_error(cluster: Cluster, two: Path, flood: bytes) -> None:
    script = cluster.script("import os, sys\nos.read(0, 1)\nif os.environ['RANK'] == '0': sys.exit(0)\nos.close(0)\nprint('closed')")
    with (cluster.here / "flood").open("rb") as source:
        done = cluster.mlxlaunch("-i", two, script, stdin=source)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_an_endless_input_ends_with_the_job(cluster: Cluster, two: Path) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as source:
        done = cluster.mlxlaunch("-i", two, "--", "head", "-n", "1", stdin=source.stdout)
        source.kill()
    assert (done.returncode, done.stdout, done.stderr) == (0, "y\ny\n", "")


def test_no_more_is_taken_from_a_pipe_than_ranks_have_room_for(cluster: Cluster, two: Path) -> None:
    """Before they start there is none: whoever writes is held up, as by any other program."""
    script = cluster.script("print('up', flush=True)")
    read, write = os.pipe()
    os.write(write, b"for the next")
    bad = cluster.mlxlaunch("-i", two, "--cwd", "/not/there", script, stdin=read)
    assert bad.returncode == 3
    assert os.read(read, 100) == b"for the next"
    os.close(read)
    os.close(write)


def test_nothing_is_left_of_a_killed_rank_that_never_reads(cluster: Cluster, two: Path, flood: bytes) -> None:
    script = cluster.script("import os, time\nif os.environ['RANK'] == '1':\n    os.read(0, 1000); os.abort()\ntime.sleep(900)")
    with (cluster.here / "flood").open("rb") as source:
        done = cluster.mlxlaunch("-i", two, script, stdin=source)
    assert done.returncode == 128 + signal.SIGABRT
    assert cluster.left_files() == []


# -- at once


def test_a_program_talks_with_a_rank(cluster: Cluster, two: Path) -> None:
    echo = "import os\nwhile data := os.read(0, 1000): os.write(1, os.environ['RANK'].encode() + b':' + data)\n"
    with cluster.lab.enter(), start_job(two, cluster.script(echo), stdin="all") as job:
        took = []
        for turn in range(20):
            began = time.monotonic()
            assert job.write(b"turn %d\n" % turn, rank=turn % 2)
            assert heard(job) == (turn % 2, b"%d:turn %d\n" % (turn % 2, turn))
            took.append(time.monotonic() - began)
        assert sorted(took)[10] < 1, "something on the way waits for a timer"
        job.close_stdin(0)
        job.close_stdin()
        result = job.wait(PATIENCE)
        assert job.write(b"too late") is False
    assert result.returncode == 0


def heard(job: Job) -> tuple[int | None, bytes]:
    """Return the next output."""
    while event := job.next_event(PATIENCE):
        if event.event == "rank_output":
            return event.rank, event.data
    raise AssertionError(job.wait(1))


def test_a_program_has_none_unless_it_says_so(cluster: Cluster, two: Path) -> None:
    script = cluster.script(WHAT)
    with cluster.lab.enter():
        result = run_job(two, script, check=True)
        assert [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)] == ["0 /dev/null\n", "1 /dev/null\n"]
        with start_job(two, script) as job, pytest.raises(UsageError, match="no rank of this job has a standard input"):
            job.write(b"x")
        with start_job(two, script, stdin=1) as job, pytest.raises(UsageError, match="rank 0 has no standard input"):
            job.write(b"x", rank=0)


def test_program_that_only_writes_and_waits_comes_to_its_end(cluster: Cluster, two: Path, flood: bytes) -> None:
    script = cluster.script("import os\nwhile data := os.read(0, 65536): os.write(1, data)\n")
    with cluster.lab.enter(), start_job(two, script, stdin=0) as job:
        assert job.write(flood)
        job.close_stdin()
        result = job.wait(PATIENCE)
    assert result.returncode == 0
    log = result.ranks[0].stdout
    assert log
    assert hashlib.sha256(log.read_bytes()).digest() == hashlib.sha256(flood).digest()


def test_input_waits_for_hosts_that_are_slow_to_be_ready(cluster: Cluster, two: Path) -> None:
    cluster.hosts[1].slow(delay_ms=100)
    with cluster.lab.enter(), start_job(two, cluster.script(DIGEST), stdin="all") as job:
        job.write(b"early")
        job.close_stdin()
        result = job.wait(PATIENCE)
    cluster.hosts[1].slow()
    assert [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)] == [
        digest_line(0, b"early") + "\n",
        digest_line(1, b"early") + "\n",
    ]


@pytest.fixture
def open_pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_lines_typed_into_an_open_pipe_arrive_one_by_one(cluster: Cluster, two: Path, open_pipe: tuple[int, int]) -> None:
    read, write = open_pipe
    script = cluster.script("import os\nwhile data := os.read(0, 1000): os.write(1, data.upper())\n")
    with cluster.started([*MLXLAUNCH, "run", "-i", two, "--stdin", "1", script], stdin=read) as process:
        assert process.stdout
        for word in (b"one\n", b"two\n", b"three"):
            os.write(write, word)
            read_until(process.stdout.fileno(), word.upper())
        assert os.get_blocking(read)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert os.get_blocking(read)
    assert (last_run(cluster) / "1/stdout.log").read_bytes() == b"ONE\nTWO\nTHREE"
    wait_until(lambda: cluster.left_files() == [], "hosts are empty")

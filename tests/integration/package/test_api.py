"""run_job and start_job as a program uses them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import mlxlaunch_ansible
from mlxlaunch_ansible import Event, Job, JobFailed, JobResult, LaunchError, UsageError, run_job, start_job
from tests.integration.cluster import PATIENCE, Cluster, Gate, events_of, run_dirs
from tests.lab.start import CHECKOUT
from tests.support.processes import command_lines
from tests.support.waiting import wait_until

#: Two ranks on this machine, without ssh.
LOCAL = ["127.0.0.1", "127.0.0.1"]

UP = "print('up', flush=True)\n"
FOREVER = UP + "import time\nwhile True: time.sleep(60)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER


@pytest.fixture(autouse=True)
def inside(cluster: Cluster) -> Iterator[None]:
    """Every job of these tests is started in the lab's network, where no other test's ports are."""
    with cluster.lab.enter():
        yield


@pytest.fixture
def gate(cluster: Cluster) -> Iterator[Gate]:
    with cluster.gate(None, "gate") as gate:
        yield gate


def put(cluster: Cluster, source: str) -> str:
    """A script for ranks on this machine only."""
    return cluster.script(source, hosts=[])


def await_up(job: Job, ranks: int = 2) -> None:
    """Take events until every rank has printed a line. Unbuffered, Python writes the newline by itself."""
    up: set[int | None] = set()
    while len(up) < ranks:
        event = job.next_event(PATIENCE)
        assert event is not None, job.wait(1)
        if b"\n" in event.data:
            up.add(event.rank)


def output(events: list[Event], rank: int, stream: str = "stdout") -> bytes:
    return b"".join(event.data for event in events if (event.rank, event.stream) == (rank, stream))


# -- results


def test_result_tells_each_rank_and_where_its_logs_are(cluster: Cluster) -> None:
    script = put(cluster, "import os, sys; print('out', os.environ['RANK']); print('err', sys.argv[1], file=sys.stderr)")
    result = run_job(LOCAL, script, args=["word"])
    assert isinstance(result, JobResult)
    assert (result.returncode, result.cause, result.message) == (0, "finished", "all ranks returned 0")
    assert result.first_failure is None
    assert result.problems == {}
    assert result.run_dir == run_dirs(cluster)[0]
    assert result.run_dir.name == result.job
    assert 0 < result.duration < PATIENCE
    assert list(result.ranks) == [0, 1]
    for number, rank in result.ranks.items():
        assert (rank.rank, rank.host, rank.returncode, rank.signal, rank.stopped) == (number, "127.0.0.1", 0, None, False)
        assert rank.duration is not None
        assert 0 < rank.duration < PATIENCE
        assert rank.stdout is not None
        assert rank.stderr is not None
        assert (rank.stdout.read_text(), rank.stderr.read_text()) == (f"out {number}\n", "err word\n")


def test_failure_is_a_result_and_with_check_an_error(cluster: Cluster) -> None:
    script = put(cluster, "import os, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\ntime.sleep(900)")
    with pytest.raises(JobFailed) as caught:
        run_job(LOCAL, script, check=True)
    result = caught.value.result
    assert isinstance(caught.value, LaunchError)
    assert result.returncode == 137
    assert result.cause == "rank_failed"
    assert result.first_failure == result.ranks[1]
    assert (result.ranks[1].signal, result.ranks[1].stopped) == ("SIGKILL", False)
    assert (result.ranks[0].returncode, result.ranks[0].signal, result.ranks[0].stopped) == (143, "SIGTERM", True)
    assert "rank 1 on 127.0.0.1 was killed by SIGKILL" in str(caught.value)
    assert str(result.run_dir) in str(caught.value)


def test_hosts_that_are_not_ready_are_a_result_too(cluster: Cluster) -> None:
    result = run_job(LOCAL, put(cluster, UP), python="/no/such/python")
    assert result.returncode == 3
    assert result.cause == "not_ready"
    [problem] = result.problems["127.0.0.1"]
    assert problem.startswith("python /no/such/python is not there")
    assert [(rank.returncode, rank.stdout, rank.stderr) for rank in result.ranks.values()] == [(None, None, None)] * 2


def test_settings_have_the_names_they_have_everywhere(cluster: Cluster) -> None:
    script = put(cluster, "import json, os; print(json.dumps([os.getcwd(), os.environ['A'], open(os.environ['MLX_HOSTFILE']).read()]))")
    options: dict[str, Any] = {
        "env": {"A": "b"},
        "cwd": Path("/usr"),
        "python": Path(sys.executable),
        "starting_port": 31000,
        "connections_per_ip": 2,
        "verbose": True,
        "grace": 1,
        "lease": 50,
        "connect_timeout": 200,
        "timeout": 300,
        "backend": "ring",
        "group": "any",
        "log_dir": cluster.here / "logs",
    }
    result = run_job(LOCAL, Path(script), check=True, **options)
    ring = '[["127.0.0.1:31000", "127.0.0.1:31001"], ["127.0.0.1:31002", "127.0.0.1:31003"]]'
    assert result.ranks[0].stdout
    assert json.loads(result.ranks[0].stdout.read_text()) == ["/usr", "b", ring]
    assert result.run_dir
    assert result.run_dir.parent == cluster.here / "logs"


def test_a_relative_script_is_taken_from_here(cluster: Cluster) -> None:
    put(cluster, "import sys; print(sys.argv[0])")
    result = run_job(["127.0.0.1"], "train.py", check=True)
    assert result.ranks[0].stdout
    assert result.ranks[0].stdout.read_text() == f"{cluster.here}/train.py\n"


def test_a_command_runs_without_python(cluster: Cluster) -> None:
    result = run_job(["127.0.0.1"], command=["echo", "two  words", "$HOME"], check=True)
    assert result.ranks[0].stdout
    assert result.ranks[0].stdout.read_text() == "two  words $HOME\n"


@pytest.mark.parametrize(
    ("inventory", "script", "options", "told"),
    [
        ("no/such/hosts.yml", "x.py", {}, "no/such/hosts.yml: no such inventory"),
        (LOCAL, "", {}, "no script"),
        (LOCAL, "x.py", {"command": ["true"]}, "not both"),
        (LOCAL, "x.py", {"backend": "tpu"}, "tpu"),
        (LOCAL, "x.py", {"env": {"A B": "c"}}, "A B"),
        (LOCAL, "x.py", {"env": {"FLAG": True}}, "FLAG"),
        (LOCAL, "x.py", {"starting_port": 99999}, "99999"),
        (LOCAL, "x.py", {"grace": float("nan")}, "grace"),
        ([{"ssh": "a", "ips": ["::1"]}], "x.py", {}, "IPv6"),
        ([], "x.py", {}, "no hosts"),
        (["-oProxyCommand=x"], "x.py", {}, "-oProxyCommand=x"),
    ],
)
def test_a_mistake_is_a_usage_error_before_anything_starts(inventory: Any, script: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=r"\A[^\n]+\Z") as caught:
        start_job(inventory, script, **options)
    assert told in str(caught.value)


def test_mistake_that_ansible_finds_is_a_usage_error_of_wait(cluster: Cluster) -> None:
    job = start_job(cluster.mapping({}), put(cluster, ""))
    with pytest.raises(UsageError, match="group 'mlx' has no hosts"):
        job.wait(PATIENCE)
    assert run_dirs(cluster) == []


# -- events


def but_output(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events but for those of output: the record has fewer of them, for longer pieces."""
    return [event for event in events if event["event"] != "rank_output"]


def test_iteration_yields_the_record_with_its_bytes(cluster: Cluster) -> None:
    script = put(cluster, "import os; os.write(1, bytes(range(256))); os.write(2, b'e' * 10)")
    with start_job(LOCAL, script) as job:
        events = list(job)
        result = job.wait(PATIENCE)
    assert result.run_dir
    assert but_output(event.to_json() for event in events) == but_output(events_of(result.run_dir))
    assert events[0].event == "job_started"
    assert events[-1].event == "job_finished"
    for rank in (0, 1):
        assert output(events, rank) == bytes(range(256))
        assert output(events, rank, "stderr") == b"e" * 10
    assert {event.job for event in events} == {job.job}
    assert job.next_event(0) is None


def test_on_event_is_called_for_every_event(cluster: Cluster) -> None:
    events: list[Event] = []
    threads: set[str] = set()

    def take(event: Event) -> None:
        events.append(event)
        threads.add(threading.current_thread().name)

    result = run_job(LOCAL, put(cluster, UP), on_event=take)
    assert result.run_dir
    assert but_output(event.to_json() for event in events) == but_output(events_of(result.run_dir))
    assert output(events, 0) == output(events, 1) == b"up\n"
    assert threading.current_thread().name not in threads


def test_events_come_while_the_job_runs(cluster: Cluster, gate: Gate) -> None:
    source = f"import os\ngate = open({gate.path!r}, 'rb', 0)\nfor n in range(3):\n    os.write(1, b'%d' % n)\n    gate.read(1)\n"
    script = put(cluster, source)
    with start_job(["127.0.0.1"], script) as job:
        for n in range(3):
            while (event := job.next_event(PATIENCE)) and event.event != "rank_output":
                pass
            assert event
            assert event.data == b"%d" % n
            gate.open()
        assert job.wait(PATIENCE).returncode == 0


def test_a_handler_that_raises_ends_the_job_and_is_heard(cluster: Cluster) -> None:
    def choke(event: Event) -> None:
        if event.event == "rank_output":
            raise ZeroDivisionError("from the handler")

    job = start_job(LOCAL, put(cluster, FOREVER), on_event=choke)
    with pytest.raises(ZeroDivisionError, match="from the handler"):
        job.wait(PATIENCE)
    assert not job.running
    (run_dir,) = run_dirs(cluster)
    assert events_of(run_dir)[-1]["message"] == "the event handler raised ZeroDivisionError"


def test_a_slow_consumer_loses_nothing(cluster: Cluster) -> None:
    """More than all buffers between a rank and an iterator hold, and nobody takes anything for a while."""
    size = 24 * 1024 * 1024
    script = put(cluster, f"import os, sys\nfor n in range({size} // 65536): os.write(1, n.to_bytes(4, 'big') * 16384)")
    with start_job(["127.0.0.1"], script) as job:
        await_up(job, 1)  # takes the first piece only
        taken = job.next_event(PATIENCE)
        # The rank itself is not held up: its bytes wait on disk, and it ends.
        wait_until(lambda: not any(script in words for _pid, words in command_lines()), "the rank has ended without its reader")
        assert job.running
        events = [event for event in (taken, *job) if event]
        result = job.wait(PATIENCE)
    assert result.returncode == 0
    assert result.ranks[0].stdout
    whole = b"".join(n.to_bytes(4, "big") * 16384 for n in range(size // 65536))
    assert result.ranks[0].stdout.read_bytes() == whole
    assert whole.endswith(output(events, 0))
    offsets = [(event.details["offset"], event.details["length"]) for event in events if event.event == "rank_output"]
    assert all(one[0] + one[1] == two[0] for one, two in pairwise(offsets))
    assert sum(offsets[-1]) == size


# -- the ways to end it


def test_wait_has_a_limit_and_the_job_goes_on(cluster: Cluster, gate: Gate) -> None:
    script = put(cluster, UP + f"open({gate.path!r}, 'rb', 0).read(1)")
    with start_job(["127.0.0.1"], script) as job:
        with pytest.raises(TimeoutError, match=job.job):
            job.wait(0.01)
        await_up(job, 1)
        with pytest.raises(TimeoutError):
            job.next_event(0.01)
        assert job.running
        gate.open()
        assert job.wait(PATIENCE).returncode == 0
        assert not job.running


def end_by(act: Callable[[Job], None], cluster: Cluster, source: str = FOREVER, **options: Any) -> JobResult:
    with start_job(LOCAL, put(cluster, source), **options) as job:
        await_up(job)
        act(job)
        return job.wait(PATIENCE)


def test_terminate_ends_the_job_with_grace(cluster: Cluster) -> None:
    source = f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n{FOREVER}"
    result = end_by(Job.terminate, cluster, source)
    assert (result.returncode, result.cause, result.message) == (143, "interrupted", "terminated")
    assert [(rank.returncode, rank.stopped) for rank in result.ranks.values()] == [(0, True)] * 2
    assert [rank.stdout.read_text() for rank in result.ranks.values() if rank.stdout] == ["up\nbye\n"] * 2


def test_terminate_says_what_the_caller_wants_said(cluster: Cluster) -> None:
    result = end_by(lambda job: job.terminate(99, "the loss is nan"), cluster)
    assert (result.returncode, result.message) == (99, "the loss is nan")


def test_kill_does_not_wait_for_the_grace(cluster: Cluster) -> None:
    result = end_by(Job.kill, cluster, DEAF, grace=600)
    assert (result.returncode, result.message) == (137, "killed")
    assert [rank.signal for rank in result.ranks.values()] == ["SIGKILL"] * 2


def test_kill_after_terminate_cuts_the_grace_short(cluster: Cluster) -> None:
    def both(job: Job) -> None:
        job.terminate()
        while (event := job.next_event(PATIENCE)) and event.event != "job_stopping":
            pass
        job.kill()

    result = end_by(both, cluster, DEAF, grace=600)
    assert result.returncode == 143  # the first word says why
    assert [rank.signal for rank in result.ranks.values()] == ["SIGKILL"] * 2


def test_leaving_the_block_ends_the_job(cluster: Cluster) -> None:
    try:
        with start_job(LOCAL, put(cluster, FOREVER)) as job:
            await_up(job)
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert not job.running
    assert job.wait(0).returncode == 143


def test_ending_a_job_that_has_hardly_begun(cluster: Cluster) -> None:
    """Before Ansible is up; nothing may come after."""
    job = start_job(LOCAL, put(cluster, FOREVER))
    job.terminate()
    result = job.wait(PATIENCE)
    assert (result.returncode, result.cause) == (143, "interrupted")
    job.terminate()  # of no effect, and no error
    job.kill()
    assert job.wait(0).returncode == 143


def test_the_time_limit_is_a_result(cluster: Cluster) -> None:
    result = run_job(LOCAL, put(cluster, FOREVER), timeout=0.3)
    assert (result.returncode, result.cause) == (124, "timeout")


# -- beside other things


def test_jobs_run_in_threads_side_by_side(cluster: Cluster) -> None:
    script = put(cluster, "import sys; print(sys.argv[1])")
    results: dict[int, JobResult] = {}

    def launch(n: int) -> None:
        with cluster.lab.enter():  # a thread has a network of its own
            results[n] = run_job(LOCAL, script, args=[str(n)], starting_port="auto")

    threads = [threading.Thread(target=launch, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert {n: result.returncode for n, result in results.items()} == {0: 0, 1: 0}
    for n, result in results.items():
        assert [rank.stdout.read_text() for rank in result.ranks.values() if rank.stdout] == [f"{n}\n"] * 2


def test_a_job_runs_beside_an_event_loop(cluster: Cluster, gate: Gate) -> None:
    script = put(cluster, UP + f"open({gate.path!r}, 'rb', 0).read(1)")

    async def main() -> JobResult:
        # Started here: threads of the loop's pool are in the machine's own network.
        job = start_job(["127.0.0.1"], script)
        waiting = asyncio.create_task(asyncio.to_thread(job.wait, PATIENCE))
        for _ in range(20):  # the loop turns meanwhile
            await asyncio.sleep(0.001)
        assert not waiting.done()
        gate.open()
        return await waiting

    assert asyncio.run(main()).returncode == 0


def test_a_job_needs_no_signal_handler_of_this_process(cluster: Cluster) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)}
    assert run_job(["127.0.0.1"], put(cluster, "")).returncode == 0
    assert {number: signal.getsignal(number) for number in before} == before


def test_nothing_of_a_job_stays_in_this_process(cluster: Cluster) -> None:
    script = put(cluster, UP)
    run_job(["127.0.0.1"], script)  # what stays of imports stays once
    gc.collect()  # what earlier tests have left open is closed at some time, and would count
    threads, descriptors = threading.active_count(), open_descriptors()
    cwd, environment = Path.cwd(), dict(os.environ)
    run_job(["127.0.0.1"], script)
    wait_until(lambda: threading.active_count() <= threads, "its threads have ended")  # ansible-runner's sleeps once more
    gc.collect()
    assert open_descriptors() <= descriptors
    assert (Path.cwd(), dict(os.environ)) == (cwd, environment)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_printed(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    run_job(LOCAL, put(cluster, "import sys; print('x'); sys.exit(3)"))
    assert capfd.readouterr() == ("", "")


def test_importing_the_package_is_cheap() -> None:
    program = "import sys, mlxlaunch_ansible, mlxlaunch_ansible.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE, cwd=CHECKOUT)
    heavy = {"ansible", "ansible_runner", "jinja2", "yaml", "asyncio", "mlx"}
    assert not heavy & set(done.stdout.split())


def test_the_package_says_what_it_has() -> None:
    for name in mlxlaunch_ansible.__all__:
        assert getattr(mlxlaunch_ansible, name)
    assert (Path(mlxlaunch_ansible.__file__).parent / "py.typed").exists()

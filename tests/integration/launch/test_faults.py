"""Every fault the launch promises to survive, injected on the lab.

After each of them: no process of the job on any host that is alive, no byte lost, a message that names host and
rank, and the promised exit status.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import (
    ANSIBLE_PLAYBOOK,
    LEASE,
    MLXLAUNCH,
    PATIENCE,
    PLAYBOOK,
    SOON,
    Cluster,
    Gate,
    ansible_processes,
    assert_ended,
    events_of,
    job_files,
    last_run,
    programs_of_ours,
)
from tests.lab import Lab
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

# A rank with a grandchild that has left the process group, one that stays in it, and something to say.
RANK = """
import os, signal, subprocess, sys, time
rank = os.environ["MLX_RANK"]
if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "1000"], start_new_session=True)
subprocess.Popen(["sleep", "1001"])
print("up", rank, flush=True)
print("error", rank, file=sys.stderr, flush=True)
{then}
"""
FOREVER = "while True: time.sleep(1000)"


class Launcher:
    """Starts launches of one job in different ways and watches what they print; all end with the stack."""

    def __init__(self, cluster: Cluster, stack: contextlib.ExitStack) -> None:
        self.cluster = cluster
        self.inventory = cluster.inventory([host.name for host in cluster.hosts])
        self._stack = stack

    def script(self, then: str = FOREVER, *, deaf: bool = False) -> str:
        """Put a rank's script on every host; return its path."""
        return self.cluster.script(RANK.format(then=then, deaf=deaf))

    def cli(self, script: str, *options: str) -> subprocess.Popen[Any]:
        """Start `mlxlaunch run`."""
        return self.start([*MLXLAUNCH, "run", "-i", self.inventory, "--no-sync", *options, script])

    def playbook(self, script: str, **settings: Any) -> subprocess.Popen[Any]:
        """Start `ansible-playbook launch.yml`."""
        variables = {f"mlx_{name}": value for name, value in {"script": script, "sync": False, **settings}.items()}
        return self.start([ANSIBLE_PLAYBOOK, "-i", self.inventory, PLAYBOOK, "-e", json.dumps(variables)], cwd=CHECKOUT)

    def start(self, argv: list[Any], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in a session of its own, with text to read and write."""
        return self._stack.enter_context(self.cluster.started(argv, text=True, start_new_session=True, **options))

    def await_up(self, process: subprocess.Popen[Any], ranks: int = 4) -> None:
        """Wait until every rank has said that it is up."""
        assert process.stdout
        seen: set[str] = set()
        while len(seen) < ranks:
            line = process.stdout.readline()
            assert line, f"ended early: {process.communicate()[1]}"
            if line.startswith("up "):
                seen.add(line)

    def log(self, rank: int, stream: str = "stdout") -> str:
        """Return what the record has of a rank's stream."""
        return (last_run(self.cluster) / f"{rank}/{stream}.log").read_text()


@pytest.fixture
def launcher(cluster: Cluster) -> Iterator[Launcher]:
    """Give ways to launch on all hosts; where nothing may stay on them, a test says so itself."""
    cluster.may_leave_files = True
    with contextlib.ExitStack() as stack:
        yield Launcher(cluster, stack)


def at(gate: Gate) -> str:
    """Return the statement with which a rank waits at a gate."""
    return f"open({gate.path!r}, 'rb', 0).read(1)"


def finish(process: subprocess.Popen[Any]) -> tuple[int, str]:
    """Wait for the end; return the exit status and what was said on stderr."""
    _out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def await_gone(lab: Lab) -> None:
    """Wait until no host that is on runs anything of a job."""
    wait_until(lambda: not lab.leftovers(), "no host runs anything of the job")


def assert_killed_after(grace: float, run_dir: Path, *, but: int) -> None:
    """All ranks but one were killed, when they had had their grace and not before, by the clock of the record."""
    events = events_of(run_dir)
    (begun,) = [event["time"] for event in events if event["event"] == "job_stopping"]
    ends = {event["rank"]: event for event in events if event["event"] == "rank_exited" and event["rank"] != but}
    assert {rank: (end["signal"], end["time"] - begun >= grace) for rank, end in ends.items()} == dict.fromkeys(ends, ("SIGKILL", True))
    assert len(ends) == 3


def assert_same(found: list[str], wanted: list[str]) -> None:
    """Compare many lines; tell the first that differs, not all of them."""
    different = next((at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(found), len(wanted)) if different is None else different
    told = f"{len(found)} lines, {len(wanted)} wanted; line {at} is {found[at : at + 1]}, wanted {wanted[at : at + 1]}"
    assert hash(tuple(found)) == hash(tuple(wanted)), told


# -- a rank fails


@pytest.mark.parametrize(("then", "status"), [("os._exit(7)", 7), ("os.kill(os.getpid(), signal.SIGSEGV)", 139), ("1/0", 1)])
def test_first_failing_rank_ends_all_and_sets_exit_status(launcher: Launcher, lab: Lab, then: str, status: int) -> None:
    script = launcher.script(f"if rank == '2':\n    {then}\n{FOREVER}")
    code, said = finish(launcher.cli(script))
    assert code == status
    assert "rank 2 on node3" in said
    await_gone(lab)
    assert launcher.cluster.left_files() == []


def test_a_rank_that_ignores_term_is_killed_after_grace(launcher: Launcher, lab: Lab) -> None:
    with launcher.cluster.gate(lab.hosts[1], "go") as gate:
        script = launcher.script(f"if rank == '1':\n    {at(gate)}\n    sys.exit(5)\n{FOREVER}", deaf=True)
        process = launcher.cli(script, "--grace", "1")
        launcher.await_up(process)  # all of them are deaf by now
        gate.open()
        code, said = finish(process)
    assert code == 5
    assert "SIGKILL" in said
    assert_killed_after(1.0, last_run(launcher.cluster), but=1)
    await_gone(lab)


def test_all_ranks_are_gone_when_the_launcher_returns(launcher: Launcher, lab: Lab) -> None:
    finish(launcher.cli(launcher.script("if rank == '0':\n    sys.exit(3)\n" + FOREVER)))
    assert_ended(lab)


def test_what_ranks_leave_behind_after_success_is_ended_and_told(launcher: Launcher, lab: Lab) -> None:
    code, said = finish(launcher.cli(launcher.script("sys.exit(0)")))
    assert code == 0
    assert "left processes behind" in said
    assert "sleep" in said
    assert_ended(lab)


# -- the launcher goes away


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_job_and_is_the_exit_status(launcher: Launcher, lab: Lab, number: int, status: int) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    process.send_signal(number)
    code, said = finish(process)
    assert code == status
    assert signal.Signals(number).name in said
    assert "Traceback" not in said
    assert_ended(lab)
    assert launcher.cluster.left_files() == []


def test_a_second_interrupt_kills_at_once(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(deaf=True), "--grace", "600")
    launcher.await_up(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    while "ending" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    code, _said = finish(process)
    assert code == 130
    assert_ended(lab)


def test_interrupted_before_any_rank_runs(launcher: Launcher, lab: Lab) -> None:
    lab.hosts[0].cut()
    process = launcher.cli(launcher.script(), "--verbose")
    assert process.stderr
    while "is ready" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    code, _said = finish(process)
    assert code == 130
    lab.hosts[0].heal()
    await_gone(lab)


def test_killing_the_command_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    process.kill()
    await_gone(lab)
    assert launcher.cluster.left_files() == []


def test_killing_ansible_playbook_alone_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    main, _worker = ansible_processes(process)
    os.kill(main, signal.SIGKILL)
    code, said = finish(process)
    assert code == 143
    assert "ansible-playbook is gone" in said
    assert_ended(lab)


def test_killing_the_worker_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    _main, worker = ansible_processes(process)
    os.kill(worker, signal.SIGKILL)
    code, said = finish(process)
    assert code == 1
    assert "worker" in said
    await_gone(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_ansible_playbook_ends_the_job(launcher: Launcher, lab: Lab, number: int) -> None:
    process = launcher.playbook(launcher.script())
    launcher.await_up(process)
    process.send_signal(number)
    code, _said = finish(process)
    assert code != 0
    await_gone(lab)


def test_a_second_interrupt_of_ansible_playbook_kills_at_once(launcher: Launcher, lab: Lab) -> None:
    """As a terminal has it: each Ctrl-C goes to ansible-playbook and to its worker."""
    process = launcher.playbook(launcher.script(deaf=True), grace=600)
    launcher.await_up(process)
    both = ansible_processes(process)
    assert process.stderr
    for _time in range(2):
        for pid in both:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        while _time == 0 and "ending" not in process.stderr.readline():
            pass
    finish(process)
    await_gone(lab)


def test_cancelling_through_ansible_runner_ends_the_job(launcher: Launcher, lab: Lab, tmp_path: Path) -> None:
    """As a program does that uses ansible-runner itself: its cancel kills ansible-playbook's process group."""
    (tmp_path / "private").mkdir()
    program = f"""
import ansible_runner, sys, threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
run = ansible_runner.run(
    private_data_dir={str(tmp_path / "private")!r}, project_dir={str(CHECKOUT)!r}, playbook={PLAYBOOK!r},
    inventory={str(launcher.inventory)!r}, extravars={{"mlx_script": {launcher.script()!r}, "mlx_sync": False}},
    settings={{"pexpect_timeout": 1}}, cancel_callback=stop.is_set)
print(run.status)
"""
    environment = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_HOST_KEY_CHECKING": "True"}
    process = launcher.start([sys.executable, "-c", program], stdin=subprocess.PIPE, env=environment)
    assert process.stdout
    assert process.stdin
    seen = 0
    while seen < 4:
        line = process.stdout.readline()
        assert line
        seen += "up " in line
    out, _err = process.communicate("stop\n", timeout=PATIENCE)
    assert "canceled" in out
    await_gone(lab)


# -- a host or its network goes away


def test_a_killed_connection_ends_the_job_and_loses_nothing(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script("signal.signal(signal.SIGTERM, lambda *_: (print('last words', rank, flush=True), os._exit(0)))\n" + FOREVER)
    process = launcher.cli(script)
    launcher.await_up(process)
    lab.hosts[1].kill_ssh()
    code, said = finish(process)
    assert code == 3
    assert "node2" in said
    assert_ended(lab)
    assert launcher.log(1).splitlines() == ["up 1", "last words 1"]
    assert launcher.cluster.left_files() == []


def test_cut_network_ends_the_job_on_both_sides(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", LEASE, "--grace", "1")
    launcher.await_up(process)
    lab.hosts[2].cut()
    code, said = finish(process)
    assert code == 3
    assert "node3" in said
    assert "silent" in said
    await_gone(lab)  # on the cut host as well, which nobody could tell
    lab.hosts[2].heal()


def test_network_back_after_the_lease_delivers_the_rest(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", LEASE, "--grace", "2")
    launcher.await_up(process)
    lab.hosts[2].cut()
    assert process.stderr
    while "trying to reach it again" not in process.stderr.readline():
        pass
    lab.hosts[2].heal()
    code, _said = finish(process)
    assert code == 3
    assert_ended(lab)
    assert launcher.cluster.left_files() == []


def test_a_short_cut_is_survived(launcher: Launcher, lab: Lab) -> None:
    with contextlib.ExitStack() as stack:
        gates = [stack.enter_context(launcher.cluster.gate(host, "go")) for host in lab.hosts]  # of one path
        process = launcher.cli(launcher.script(f"{at(gates[0])}\nprint('bye', rank)\nsys.exit(0)"), "--lease", "30")
        launcher.await_up(process)
        lab.hosts[0].cut()
        for gate in gates:
            gate.open()
        lab.hosts[0].heal()
        code, said = finish(process)
    assert code == 0, said


def test_a_host_that_loses_power_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", LEASE, "--grace", "1")
    launcher.await_up(process)
    lab.hosts[3].power_off()
    code, said = finish(process)
    assert code == 3
    assert "node4" in said
    await_gone(lab)


@pytest.mark.parametrize("victim", ["supervisor", "front"])
def test_a_killed_supervisor_leaves_no_rank(launcher: Launcher, lab: Lab, victim: str) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    host = lab.hosts[1]
    host.kill(programs_of_ours(host)[victim])
    code, said = finish(process)
    assert code == 3
    assert "node2" in said
    await_gone(lab)
    assert launcher.cluster.left_files() == []


def test_a_killed_guard_costs_nothing(launcher: Launcher, lab: Lab) -> None:
    host = lab.hosts[1]
    with launcher.cluster.gate(host, "go") as gate:
        process = launcher.cli(launcher.script(f"if rank == '1':\n    {at(gate)}\nprint('bye', rank)\nsys.exit(0)"))
        launcher.await_up(process)
        host.kill(programs_of_ours(host)["guard"])
        gate.open()
        code, said = finish(process)
    assert code == 0, said


def test_a_process_that_hides_ends_with_a_killed_supervisor(launcher: Launcher, lab: Lab) -> None:
    """It has left group and session, has another parent, and shows neither the job's mark nor any other variable."""
    hide = "os.setsid(); os.fork() or os.execve('/bin/sleep', ['hidden', '1000'], {}); os._exit(0)"
    process = launcher.cli(launcher.script(f"os.fork() or exec({hide!r})\nos.wait()\nprint('hid', flush=True)\n{FOREVER}"))
    launcher.await_up(process)
    host = lab.hosts[1]
    wait_until(lambda: [found for found in host.leftovers() if found.args[:1] == ("hidden",)], "it runs")
    host.kill(programs_of_ours(host)["supervisor"])
    code, said = finish(process)
    assert code == 3, said
    await_gone(lab)


def test_a_folder_that_is_removed_under_a_job_costs_nothing(launcher: Launcher, lab: Lab) -> None:
    host = lab.hosts[1]
    with launcher.cluster.gate(host, "go") as gate:
        process = launcher.cli(launcher.script(f"if rank == '1':\n    {at(gate)}\nfor n in range(200000): print(rank, n)\nsys.exit(0)"))
        launcher.await_up(process)
        for folder in job_files(host):
            shutil.rmtree(folder)
        gate.open()
        code, said = finish(process)
    assert code == 0, said
    assert_same(launcher.log(1).splitlines()[1:], [f"1 {n}" for n in range(200000)])


def test_an_unreachable_host_means_no_rank_starts_anywhere(launcher: Launcher, lab: Lab) -> None:
    mark = launcher.cluster.here / "started"
    script = launcher.script(f"open({str(mark)!r}, 'w')")
    lab.hosts[3].power_off()
    code, said = finish(launcher.cli(script, "--connect-timeout", SOON))
    assert code == 3
    assert "node4" in said
    assert "no rank was started" in said
    assert not any(host.path(mark).exists() for host in lab.hosts[:3])


# -- a host is in trouble


def test_a_full_disk_loses_no_output(launcher: Launcher, lab: Lab) -> None:
    lines = "for n in range(200000): print(rank, n, 'x' * 50)"
    with launcher.cluster.gate(lab.hosts[1], "go") as gate:
        script = launcher.script(f"if rank == '1':\n    {at(gate)}\n    {lines}\nsys.exit(0)")
        process = launcher.cli(script)
        launcher.await_up(process)
        lab.hosts[1].fill_disk()
        gate.open()
        code, said = finish(process)
        lab.hosts[1].free_disk()
    assert code == 0, said
    assert_same(launcher.log(1).splitlines()[1:], [f"1 {n} {'x' * 50}" for n in range(200000)])
    assert "full" in said


def test_disk_full_from_the_start_is_told_and_nothing_starts(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script()
    lab.hosts[2].fill_disk()
    code, said = finish(launcher.cli(script))
    lab.hosts[2].free_disk()
    assert code == 3
    assert "node3" in said
    assert "No space left" in said


def test_a_slow_link_stalls_no_rank_and_loses_nothing(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script("for n in range(40000): print(rank, n)\nsys.exit(0)")
    lab.hosts[0].slow(delay_ms=20, rate="2mbit")
    code, said = finish(launcher.cli(script))
    lab.hosts[0].slow()
    assert code == 0, said
    assert_same(launcher.log(0).splitlines()[1:], [f"0 {n}" for n in range(40000)])


def test_a_clock_that_is_off_disturbs_nothing(launcher: Launcher, lab: Lab) -> None:
    lab.hosts[1].set_clock(-86400 * 30)
    code, said = finish(launcher.cli(launcher.script("sys.exit(0)")))
    lab.hosts[1].set_clock(0)
    assert code == 0, said


# -- nobody reads


def test_a_closed_pipe_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script("while True: print('x' * 1000)"))
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 141
    assert_ended(lab)


def test_a_reader_that_stops_reading_stalls_no_rank(launcher: Launcher, lab: Lab) -> None:
    """The ranks come to their end while nobody takes a byte, and all of it is there when somebody does."""
    mark = launcher.cluster.here / "ended"
    # Whole lines in each write, and so few that a full pipe takes all or none: a busy machine breaks no line.
    lines = "''.join(f'{rank} {n} ' + 'x' * 40 + '\\n' for n in range(at, at + 75))"
    text = f"import os\nfor at in range(0, 300000, 75): os.write(1, {lines}.encode())\nopen({str(mark)!r}, 'w').close()\nsys.exit(0)"
    script = launcher.script(text)
    process = launcher.cli(script, "--lease", LEASE)
    wait_until(lambda: all(host.path(mark).exists() for host in lab.hosts), "every rank has come to its end", PATIENCE)
    out, _err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    told = out.splitlines()
    for rank in range(4):
        assert_same([line for line in told if line.startswith(f"{rank} ")], [f"{rank} {n} {'x' * 40}" for n in range(300000)])

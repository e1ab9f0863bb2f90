"""Every fault the launch promises to survive, injected on the lab.

After each of them: no process of the job on any host that is alive, no byte lost, a message that names host and
rank, and the promised exit status.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import ansible_processes
from tests.lab import Host, Lab

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
BOUND = 60.0

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
    """Start launches of one job in different ways and watch what they print."""

    def __init__(self, lab: Lab, tmp_path: Path) -> None:
        self.lab = lab
        self._runs = tmp_path / "runs"
        # A short path: the name of an ssh control socket must fit into 104 bytes.
        self._environment = {
            **os.environ,
            "ANSIBLE_HOME": str(lab.dir / "a"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PYTHONPATH": os.pathsep.join((str(ROOT / ".ansible"), str(ROOT))),
            "PYTHONUNBUFFERED": "1",
        }
        self._started: list[subprocess.Popen[str]] = []
        for host in lab.hosts:
            shutil.rmtree(host.path("/opt/faults"), ignore_errors=True)
            host.path("/opt/faults").mkdir()
            # What a host kept for a recovery that never came, in a test before this one.
            for folder in host.path("/tmp").glob("mlxlaunch-*"):
                shutil.rmtree(folder)

    def script(self, then: str = FOREVER, *, deaf: bool = False) -> str:
        """Put a rank's script on every host; return its path."""
        for host in self.lab.hosts:
            host.path("/opt/faults/rank.py").write_text(RANK.format(then=then, deaf=deaf))
        return "/opt/faults/rank.py"

    def cli(self, script: str, *options: str) -> subprocess.Popen[str]:
        """Start `mlxlaunch run`."""
        words = ["-m", "mlxlaunch_ansible.cli", "run", "-i", self.lab.inventory, "--log-dir", self._runs, *options, script]
        return self._start([sys.executable, *words])

    def playbook(self, script: str, **settings: Any) -> subprocess.Popen[str]:
        """Start `ansible-playbook launch.yml`."""
        variables = {"script": script, "log_dir": self._runs, **settings}
        words = [word for name, value in variables.items() for word in ("-e", f"mlx_{name}={value}")]
        return self._start([BIN / "ansible-playbook", "-i", self.lab.inventory, ROOT / "playbooks" / "launch.yml", *words])

    def _start(self, argv: list[Any]) -> subprocess.Popen[str]:
        process = self.lab.popen(
            [str(word) for word in argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def await_up(self, process: subprocess.Popen[str], ranks: int = 4) -> None:
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
        (log,) = self._runs.glob(f"*/{rank}/{stream}.log")
        return log.read_text()

    def end_all(self) -> None:
        """Leave nothing behind, whatever a test did."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=BOUND)


@pytest.fixture
def launcher(lab: Lab, tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(lab, tmp_path)
    yield made
    made.end_all()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit status and what was said on stderr."""
    _out, err = process.communicate(timeout=BOUND)
    return process.returncode, err


def await_gone(lab: Lab, patience: float = 20.0, but: Host | None = None) -> None:
    """Wait until no host that is on runs anything of a job."""
    deadline = time.monotonic() + patience
    while left := {name: found for name, found in lab.leftovers().items() if not but or name != but.name}:
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.02)


def assert_same(found: list[str], wanted: list[str]) -> None:
    """Compare many lines; tell the first that differs, not all of them."""
    different = next((at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(found), len(wanted)) if different is None else different
    told = f"{len(found)} lines, {len(wanted)} wanted; line {at} is {found[at : at + 1]}, wanted {wanted[at : at + 1]}"
    assert hash(tuple(found)) == hash(tuple(wanted)), told


def no_folder_left(lab: Lab) -> bool:
    return not any(list(host.path("/tmp").glob("mlxlaunch-*")) for host in lab.hosts if host.is_on)


# -- a rank fails


@pytest.mark.parametrize(("then", "status"), [("os._exit(7)", 7), ("os.kill(os.getpid(), signal.SIGSEGV)", 139), ("1/0", 1)])
def test_first_failing_rank_ends_all_and_sets_exit_status(launcher: Launcher, lab: Lab, then: str, status: int) -> None:
    script = launcher.script(f"if rank == '2':\n    {then}\n{FOREVER}")
    code, said = finish(launcher.cli(script))
    assert code == status
    assert "rank 2 on node3" in said
    await_gone(lab, 1.0)
    assert no_folder_left(lab)


def test_a_rank_that_ignores_term_is_killed_after_grace(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script(f"if rank == '1':\n    open('/opt/faults/go').read()\n    sys.exit(5)\n{FOREVER}", deaf=True)
    os.mkfifo(lab.hosts[1].path("/opt/faults/go"))
    process = launcher.cli(script, "--grace", "1")
    launcher.await_up(process)  # all of them are deaf by now
    started = time.monotonic()
    lab.hosts[1].path("/opt/faults/go").write_text("go")
    code, said = finish(process)
    assert code == 5
    assert "SIGKILL" in said
    assert time.monotonic() - started < 15
    await_gone(lab, 1.0)


def test_all_ranks_are_gone_when_the_launcher_returns(launcher: Launcher, lab: Lab) -> None:
    finish(launcher.cli(launcher.script("if rank == '0':\n    sys.exit(3)\n" + FOREVER)))
    assert not lab.leftovers()


def test_what_ranks_leave_behind_after_success_is_ended_and_told(launcher: Launcher, lab: Lab) -> None:
    code, said = finish(launcher.cli(launcher.script("sys.exit(0)")))
    assert code == 0
    assert "left processes behind" in said
    assert "sleep" in said
    assert not lab.leftovers()


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
    assert not lab.leftovers()
    assert no_folder_left(lab)


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
    assert not lab.leftovers()


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
    assert no_folder_left(lab)


def test_killing_ansible_playbook_alone_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    main, _worker = ansible_processes(process)
    os.kill(main, signal.SIGKILL)
    code, said = finish(process)
    assert code == 143
    assert "ansible-playbook is gone" in said
    assert not lab.leftovers()


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
    process = launcher.playbook(launcher.script(deaf=True), grace=600)
    launcher.await_up(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    while "ending" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
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
    private_data_dir={str(tmp_path / "private")!r}, project_dir={str(ROOT)!r}, playbook={str(ROOT / "playbooks/launch.yml")!r},
    inventory={str(lab.inventory)!r}, extravars={{"mlx_script": {launcher.script()!r}, "mlx_log_dir": {str(tmp_path / "r")!r}}},
    settings={{"pexpect_timeout": 1}}, cancel_callback=stop.is_set)
print(run.status)
"""
    environment = {**launcher._environment, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_HOST_KEY_CHECKING": "True"}
    process = lab.popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    launcher._started.append(process)
    assert process.stdout
    assert process.stdin
    seen = 0
    while seen < 4:
        line = process.stdout.readline()
        assert line
        seen += "up " in line
    out, _err = process.communicate("stop\n", timeout=BOUND)
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
    assert not lab.leftovers()
    assert launcher.log(1).splitlines() == ["up 1", "last words 1"]
    assert no_folder_left(lab)


def test_a_cut_network_ends_the_job_within_the_lease_on_both_sides(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", "2", "--grace", "1")
    launcher.await_up(process)
    lab.hosts[2].cut()
    code, said = finish(process)
    assert code == 3
    assert "node3" in said
    assert "silent" in said
    await_gone(lab)  # on the cut host as well, which nobody could tell
    lab.hosts[2].heal()


def test_a_network_that_comes_back_after_the_lease_delivers_what_was_left(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", "2", "--grace", "2")
    launcher.await_up(process)
    lab.hosts[2].cut()
    assert process.stderr
    while "trying to reach it again" not in process.stderr.readline():
        pass
    lab.hosts[2].heal()
    code, _said = finish(process)
    assert code == 3
    assert not lab.leftovers()
    assert no_folder_left(lab)


def test_a_short_cut_is_survived(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script("open('/opt/faults/go').read()\nprint('bye', rank)\nsys.exit(0)"), "--lease", "10")
    for host in lab.hosts:
        os.mkfifo(host.path("/opt/faults/go"))
    launcher.await_up(process)
    lab.hosts[0].cut()
    for host in lab.hosts:
        host.path("/opt/faults/go").write_text("go")
    lab.hosts[0].heal()
    code, said = finish(process)
    assert code == 0, said


def test_a_host_that_loses_power_ends_the_job(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script(), "--lease", "2", "--grace", "1")
    launcher.await_up(process)
    lab.hosts[3].power_off()
    code, said = finish(process)
    assert code == 3
    assert "node4" in said
    await_gone(lab)


def test_a_killed_supervisor_leaves_no_rank(launcher: Launcher, lab: Lab) -> None:
    process = launcher.cli(launcher.script())
    launcher.await_up(process)
    host = lab.hosts[1]
    supervisor = min(found.pid for found in host.leftovers() if "decompress(sys.stdin" in " ".join(found.args))
    host.kill(supervisor)
    code, said = finish(process)
    assert code == 3
    assert "node2" in said
    await_gone(lab)
    assert no_folder_left(lab)


def test_an_unreachable_host_means_no_rank_starts_anywhere(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script("open('/opt/faults/started', 'w')")
    lab.hosts[3].power_off()
    code, said = finish(launcher.cli(script, "--connect-timeout", "3"))
    assert code == 3
    assert "node4" in said
    assert "no rank was started" in said
    assert not any(host.path("/opt/faults/started").exists() for host in lab.hosts[:3])


# -- a host is in trouble


def test_a_full_disk_loses_no_output(launcher: Launcher, lab: Lab) -> None:
    lines = "for n in range(200000): print(rank, n, 'x' * 50)"
    script = launcher.script(f"if rank == '1':\n    open('/opt/faults/go').read()\n    {lines}\nsys.exit(0)")
    os.mkfifo(lab.hosts[1].path("/opt/faults/go"))
    process = launcher.cli(script)
    launcher.await_up(process)
    lab.hosts[1].fill_disk()
    lab.hosts[1].path("/opt/faults/go").write_text("go")
    code, said = finish(process)
    lab.hosts[1].free_disk()
    assert code == 0, said
    assert_same(launcher.log(1).splitlines()[1:], [f"1 {n} {'x' * 50}" for n in range(200000)])
    assert "full" in said


def test_a_disk_that_is_full_from_the_start_is_told_and_nothing_starts(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script()
    lab.hosts[2].fill_disk()
    code, said = finish(launcher.cli(script))
    lab.hosts[2].free_disk()
    assert code == 3
    assert "node3" in said
    assert "No space left" in said


def test_a_slow_link_stalls_no_rank_and_loses_nothing(launcher: Launcher, lab: Lab) -> None:
    script = launcher.script("for n in range(40000): print(rank, n)\nopen('/opt/faults/ended', 'w').close()\nsys.exit(0)")
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
    process.communicate(timeout=BOUND)
    assert process.returncode == 141
    assert not lab.leftovers()


def test_a_reader_that_stops_reading_stalls_no_rank(launcher: Launcher, lab: Lab) -> None:
    """The ranks come to their end while nobody takes a byte, and all of it is there when somebody does."""
    script = launcher.script("for n in range(300000): print(rank, n, 'x' * 40)\nopen('/opt/faults/ended', 'w').close()\nsys.exit(0)")
    process = launcher.cli(script, "--lease", "2")
    deadline = time.monotonic() + BOUND
    while not all(host.path("/opt/faults/ended").exists() for host in lab.hosts):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    out, _err = process.communicate(timeout=BOUND)
    assert process.returncode == 0
    lines = out.splitlines()
    for rank in range(4):
        assert_same([line for line in lines if line.startswith(f"{rank} ")], [f"{rank} {n} {'x' * 40}" for n in range(300000)])

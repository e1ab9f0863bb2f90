"""Connections that the launching program begins while Ansible starts, in the second run of a request and all later ones.

An ssh of the test's notes who has started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH, Cluster, assert_ended, read_until
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

HELLO = "import os; print('hello from', os.environ['MLX_RANK'])"
WAITS = "import os, signal; print('up', os.environ['MLX_RANK'], flush=True); signal.pause()"
HOSTS = ("node1", "node2", "node3")
EARLY, WORKER = "mlxlaunch", "Ansible"


class Lab:
    """The lab's hosts, reached by an ssh that notes who has started it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.ssh = folder / "bin/ssh"
        self._notes = folder / "notes"
        self.ssh.parent.mkdir()
        self.ssh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$(tr "\\0" " " < /proc/$PPID/cmdline)" >> {self._notes}\nexec ssh "$@"\n')
        self.ssh.chmod(0o755)
        self.inventory = str(cluster.inventory(HOSTS, ansible_ssh_executable=str(self.ssh)))
        cluster.env["XDG_CACHE_HOME"] = str(folder / "cache")

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Launch a script of one line."""
        return self.cluster.mlxlaunch("-i", self.inventory, *words, self.cluster.script(script))

    def began(self) -> list[str]:
        """Return who has started each ssh since the last time, in their order."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        self._notes.unlink(missing_ok=True)
        return [WORKER if "_ansible_playbook" in line else EARLY for line in lines]

    def assert_at_rest(self) -> None:
        """Nothing is left on the hosts, and no ssh of this inventory here but masters."""
        assert_ended(self.cluster.lab)
        used = [line for line in _command_lines() if "exec /bin/sh -c" in line and str(self.ssh.parent) in line]
        assert used == []


def _command_lines() -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.fixture
def lab_here(cluster: Cluster, tmp_path: Path) -> Lab:
    return Lab(cluster, tmp_path)


@pytest.mark.parametrize("sync", [True, False])
def test_second_run_has_its_connections_begun_early(lab_here: Lab, sync: bool) -> None:
    words = [] if sync else ["--no-sync"]
    for expected in (WORKER, EARLY, EARLY):
        done = lab_here.run(HELLO, *words)
        assert (done.returncode, done.stdout.count("hello from")) == (0, len(HOSTS)), done.stderr
        began = lab_here.began()
        assert began[: len(HOSTS)] == [expected] * len(HOSTS)
        assert began[len(HOSTS) :] == [WORKER] * (len(began) - len(HOSTS))
        assert len(began) == len(HOSTS) or sync
    lab_here.assert_at_rest()


def test_other_addresses_are_not_guessed(lab_here: Lab) -> None:
    lab_here.run(HELLO, "--no-sync")
    lab_here.began()
    turned = {name: {"ansible_host": host.address} for name, host in zip(HOSTS, reversed(lab_here.cluster.hosts[:3]), strict=True)}
    lab_here.cluster.inventory(turned, ansible_ssh_executable=str(lab_here.ssh))
    done = lab_here.run(HELLO, "--no-sync")
    assert (done.returncode, lab_here.began()) == (0, [WORKER] * len(HOSTS))


def test_other_command_line_is_not_used_for_a_host(lab_here: Lab) -> None:
    """A variable that only Ansible can evaluate: nobody sees beforehand that it is another."""
    seconds = "{{ lookup('file', '" + str(lab_here.cluster.here) + "/seconds') }}"
    lab_here.cluster.inventory(HOSTS, ansible_ssh_executable=str(lab_here.ssh), ansible_ssh_timeout=seconds)
    for text, expected in (("20", [WORKER] * 3), ("30", [EARLY] * 3 + [WORKER] * 3), ("30", [EARLY] * 3)):
        (lab_here.cluster.here / "seconds").write_text(text)
        done = lab_here.run(HELLO, "--no-sync")
        assert (done.returncode, done.stdout.count("hello from")) == (0, len(HOSTS)), done.stderr
        assert lab_here.began() == expected
        lab_here.assert_at_rest()


def no_python(lab: Lab) -> list[str]:
    return ["--python", "/no/python"]


FAULTS: dict[str, tuple[Callable[[Lab], list[str]], str, int, str]] = {
    "a rank fails": (lambda _lab: [], "raise SystemExit(7)", 7, "exited with code 7"),
    "a setting of the worker's is wrong": (lambda _lab: ["--mpi-args", "'"], HELLO, 2, "mpi"),
    "the ranks' Python is not there": (no_python, HELLO, 3, "/no/python"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_fault_is_told_as_in_a_first_run(lab_here: Lab, fault: tuple[Callable[[Lab], list[str]], str, int, str]) -> None:
    change, script, status, said = fault
    words = change(lab_here)
    first, second = (lab_here.run(script, "--no-sync", *words) for _each in range(2))
    assert first.returncode == second.returncode == status, second.stderr
    assert said in first.stderr
    assert said in second.stderr
    lab_here.assert_at_rest()


def test_hosts_whose_variables_may_be_in_a_vault_are_not_reached_early(lab_here: Lab) -> None:
    lab_here.cluster.env["ANSIBLE_VAULT_PASSWORD_FILE"] = lab_here.cluster.json("password", "secret")
    for _each in range(2):
        assert lab_here.run(HELLO, "--no-sync").returncode == 0
        assert lab_here.began() == [WORKER] * len(HOSTS)


def test_connection_that_ends_before_its_worker_comes_is_made_again(lab_here: Lab) -> None:
    lab_here.run(HELLO, "--no-sync")
    lab_here.began()
    # Begun early, it fails at once; begun by the worker, it does not.
    lab_here.ssh.write_text(
        lab_here.ssh.read_text().replace("exec ssh", "grep -q _ansible_playbook /proc/$PPID/cmdline || exit 255\nexec ssh")
    )
    done = lab_here.run(HELLO, "--no-sync")
    assert (done.returncode, done.stdout.count("hello from"), done.stderr.count("lost")) == (0, len(HOSTS), 0), done.stderr
    assert sorted(lab_here.began()) == [WORKER] * 3 + [EARLY] * 3
    lab_here.assert_at_rest()


def test_host_that_could_not_be_reached_is_not_tried_early_the_next_time(lab_here: Lab) -> None:
    good = lab_here.ssh.read_text()
    lab_here.run(HELLO, "--no-sync")
    lab_here.ssh.write_text(good.replace("exec ssh", "exit 255\nexec ssh"))
    assert lab_here.run(HELLO, "--no-sync").returncode == 3
    lab_here.began()
    for expected in (WORKER, WORKER, EARLY):
        assert lab_here.run(HELLO, "--no-sync").returncode == (3 if expected == WORKER and "exit 255" in lab_here.ssh.read_text() else 0)
        assert lab_here.began() == [expected] * len(HOSTS)
        lab_here.ssh.write_text(good)


def test_killed_launcher_leaves_no_rank(lab_here: Lab) -> None:
    lab_here.run(HELLO, "--no-sync")
    lab_here.cluster.may_leave_files = True
    argv = [*MLXLAUNCH, "run", "-i", lab_here.inventory, "--no-sync", lab_here.cluster.script(WAITS)]
    with lab_here.cluster.started(argv) as launcher:
        assert launcher.stdout
        read_until(launcher.stdout.fileno(), b"up")
        launcher.kill()
        wait_until(lambda: not lab_here.cluster.lab.leftovers(), "no rank is left")
    wait_until(lambda: not any(str(lab_here.ssh.parent) in line for line in _command_lines()), "no ssh is left")


def test_stopped_launcher_holds_up_no_rank(lab_here: Lab) -> None:
    lab_here.run(HELLO, "--no-sync")
    with lab_here.cluster.gate(lab_here.cluster.hosts[0], "gate") as gate:
        waits = f"print('up', flush=True); open({gate.path!r}, 'rb', 0).read(1)"
        script = f"import os\nif os.environ['MLX_RANK'] == '0': {waits}\nprint('done')\n"
        argv = [*MLXLAUNCH, "run", "-i", lab_here.inventory, "--no-sync", lab_here.cluster.script(script)]
        with lab_here.cluster.started(argv) as launcher:
            assert launcher.stdout
            before = read_until(launcher.stdout.fileno(), b"up").count(b"done")
            os.kill(launcher.pid, signal.SIGSTOP)
            gate.open()
            wait_until(lambda: not lab_here.cluster.lab.leftovers(), "all ranks have ended")
            os.kill(launcher.pid, signal.SIGCONT)
            assert launcher.communicate(timeout=120)[0].count(b"done") == len(HOSTS) - before
            assert launcher.returncode == 0

"""What an integration test works with: the lab's hosts, and every way to launch a job on them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Host, Lab, Process
from tests.lab.start import CHECKOUT
from tests.support.delays import without_delays
from tests.support.processes import descendants, parent_of
from tests.support.waiting import wait_until

#: Adds up an array over all ranks: the real thing.
ALL_SUM = str(CHECKOUT / "examples/all_sum.py")
PLAYBOOK = str(CHECKOUT / "playbooks/launch.yml")
ANSIBLE_PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
#: Seconds after which something hangs. Nothing here takes more than a few, but many on a busy machine.
PATIENCE = 240.0
#: Seconds after which a host that is off is given up, as --connect-timeout, where it does not matter what others say.
SOON = "5"
#: The same where the others have to be ready by then: one after the other until they are, see `in_time`.
SOONER_OR_LATER = (SOON, "25", "100")
#: Seconds of silence after which a host is given up, as --lease: on a busy machine one that is well may be silent for a moment.
LEASE = "5"

Done = subprocess.CompletedProcess[str]


class Cluster:
    """The lab's hosts and this machine as their controller, with a home of its own.

    Attributes:
        lab, hosts: the hosts, without any fault.
        here: the current directory of what is launched; a test's scripts are in it, at the same path on every host.
        env: environment of what is launched.
        may_leave_files: whether this test takes away the controller before hosts could tell it everything; they then
            keep what they have for a while. After any other test nothing may be left on a host.
    """

    def __init__(self, lab: Lab, here: Path, env: Mapping[str, str]) -> None:
        self.lab = lab
        self.hosts = lab.hosts
        self.here = here
        self.env = dict(env)
        self.may_leave_files = False

    # -- files

    def left_files(self) -> list[str]:
        """What jobs have left on hosts that are on."""
        return [f"{host.name}:{path.name}" for host in self.hosts if host.is_on for path in job_files(host)]

    @property
    def runs(self) -> Path:
        """Where run directories are made when nobody says where."""
        return Path(self.env["XDG_STATE_HOME"]) / "mlxlaunch/runs"

    def script(self, source: str, name: str = "train.py", hosts: Sequence[Host] | None = None) -> str:
        """Put a script at one path on the hosts (all, if not said) and on this machine; return the path."""
        path = self.here / name
        places = [path, *(host.path(path) for host in (self.hosts if hosts is None else hosts))]
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(source, encoding="utf-8")
        return str(path)

    def inventory(self, hosts: Mapping[str, Mapping[str, Any]] | Sequence[str], *, group: str = "mlx", **variables: Any) -> Path:
        """Write an inventory with these lab hosts in one group; return its path."""
        path = self.here / "hosts.yml"
        path.write_text(json.dumps(self.mapping(hosts, group=group, **variables), ensure_ascii=False), encoding="utf-8")
        return path

    def mapping(self, hosts: Mapping[str, Mapping[str, Any]] | Sequence[str], *, group: str = "mlx", **variables: Any) -> dict[str, Any]:
        """Return an inventory with these lab hosts as data."""
        if not isinstance(hosts, Mapping):
            hosts = {name: {} for name in hosts}
        addresses = {host.name: host.address for host in self.hosts}
        return {
            group: {
                "hosts": {name: {"ansible_host": addresses.get(name, name)} | dict(own) for name, own in hosts.items()},
                "vars": {"ansible_user": "root", "mlx_python": sys.executable} | variables,
            }
        }

    def json(self, name: str, data: Any) -> str:
        """Write a JSON file here; return its path."""
        path = self.here / name
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        return str(path)

    @contextlib.contextmanager
    def gate(self, host: Host | None, name: str) -> Iterator[Gate]:
        """Make a FIFO on a host, or here, that its ranks can wait at."""
        path = self.here / name
        place = host.path(path) if host else path
        place.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(place, 0o666)
        fd = os.open(place, os.O_RDWR)  # both ends: neither side ever waits for the other to open it
        try:
            yield Gate(str(path), fd)
        finally:
            os.close(fd)
            place.unlink()

    # -- ways to launch

    def mlxlaunch(self, *words: str | os.PathLike[str], **options: Any) -> Done:
        """Run `mlxlaunch run` with these words to its end."""
        return self._run([*MLXLAUNCH, "run", *words], **options)

    def playbook(self, inventory: str | os.PathLike[str], *words: str | os.PathLike[str], **options: Any) -> Done:
        """Run `ansible-playbook playbooks/launch.yml`, in the checkout, whose ansible.cfg is to be found."""
        return self._run([ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, *words], **({"cwd": CHECKOUT} | options))

    def _run(self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None = None, **options: Any) -> Done:
        settings: dict[str, Any] = {"cwd": self.here, "timeout": PATIENCE, "stdin": subprocess.DEVNULL}
        if options.get("text", True):
            settings["encoding"] = "utf-8"
        done = self.lab.run(argv, env=self.env | dict(env or {}), **(settings | options))
        done.stdout, done.stderr = (without_delays(text) for text in (done.stdout, done.stderr))
        return done

    @contextlib.contextmanager
    def started(
        self, argv: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program; it is ended, and its end awaited, when the block is left."""
        settings: dict[str, Any] = {"cwd": self.here, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.lab.popen(argv, env=self.env | dict(env or {}), **(settings | options))
        try:
            yield process
        finally:
            _end(process)


def in_time(launch: Callable[[str], Done], enough: Callable[[Done], bool], limits: Sequence[str] = SOONER_OR_LATER) -> tuple[Done, str]:
    """Launch with a limit of time in which more has to happen than what it is for; with a larger one if that was not enough.

    Args:
        launch: launches with a limit in seconds.
        enough: returns whether all had happened that has to, before the limit came.
        limits: from the smallest, which is enough on most machines.

    Returns:
        The last launch, and its limit.
    """
    for limit in limits:
        done = launch(limit)
        if enough(done):
            break
    return done, limit


def job_files(host: Host) -> list[Path]:
    """Return the folders of jobs on a host, and whatever else is there under our name."""
    homes = [host.path("/root"), *host.path("/home").glob("*")]
    folders = [folder for home in homes for folder in home.glob(".local/state/mlxlaunch/jobs/*/*")]
    return [*folders, *host.path("/tmp").glob("mlxlaunch*"), *host.path("/dev/shm").glob("mlxlaunch*")]


def is_ours(process: Process) -> bool:
    """Return whether a process of a host is a front, a guard or a supervisor, rather than something of a rank."""
    return "decompress(sys.stdin" in " ".join(process.args)


def assert_ended(lab: Lab) -> None:
    """No rank runs, nor anything that one has started; what is ours may take a moment more to leave."""
    left = lab.leftovers()
    assert [(name, each) for name, found in left.items() for each in found if not is_ours(each)] == []
    wait_until(lambda: not lab.leftovers(), "supervisors, guards and fronts have left")


def programs_of_ours(host: Host) -> dict[str, int]:
    """Return the process ids of the front, the guard and the supervisor on a host with one job, as far as they are there."""
    found = {process.pid: process.ppid for process in host.leftovers() if is_ours(process)}
    chain = [pid for pid, parent in found.items() if parent not in found]
    while len(chain) < len(found):
        chain += [pid for pid, parent in found.items() if parent == chain[-1]]
    return dict(zip(("front", "guard", "supervisor"), chain, strict=False))


MLXLAUNCH = (sys.executable, "-m", "mlxlaunch_ansible")
# Told when a start takes more than two seconds, and whether it does depends on what else this machine has to do.


def controlled_from(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return a lab's hosts with this machine as their controller, in a new directory `here` that all of them have."""
    monkeypatch.setenv("ANSIBLE_SSH_COMMON_ARGS", f"-F {lab.ssh_config}")
    here = folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for host in lab.hosts:
        host.path(here).mkdir(parents=True, exist_ok=True)
    return Cluster(lab, here, os.environ)


class Gate:
    """A FIFO at which a rank waits: `open(path, "rb", 0).read(1)`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def open(self, times: int = 1) -> None:
        """Let as many waits pass, of whoever waits now or later."""
        os.write(self._fd, b"." * times)

    def wait(self, times: int = 1) -> None:
        """Wait until the other side has written as many bytes: the way back."""
        for _each in range(times):
            ready, _, _ = select.select([self._fd], [], [], PATIENCE)
            assert ready, f"nobody has come to {self.path}"
            os.read(self._fd, 1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, as a user would, then insist."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    process.wait(PATIENCE)


def read_until(fd: int, wanted: bytes, seconds: float = PATIENCE) -> bytes:
    """Read a descriptor until `wanted` has come; return all that has. Fails at its end and when the time is up."""
    got, deadline = b"", time.monotonic() + seconds
    while wanted not in got:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{wanted!r} has not come: {got!r}"
        try:
            data = os.read(fd, 65536)
        except OSError:  # a pseudoterminal whose other side is closed
            data = b""
        assert data, f"it ended without {wanted!r}: {got!r}"
        got += data
    return got


def run_dirs(cluster: Cluster) -> list[Path]:
    """Return the run directories made so far, oldest first. Ids of the same second do not tell which was first."""
    return sorted(cluster.runs.iterdir(), key=lambda path: path.stat().st_mtime_ns) if cluster.runs.exists() else []


def last_run(cluster: Cluster) -> Path:
    """Return the newest run directory."""
    return run_dirs(cluster)[-1]


def events_of(run_dir: Path) -> list[dict[str, Any]]:
    """Return what events.jsonl says."""
    return [json.loads(line) for line in (run_dir / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def sums(text: str) -> dict[int, tuple[int, float]]:
    """Return what the ranks of ALL_SUM printed: world size and sum, by rank."""
    rows = re.findall(r"^rank (\d+) of (\d+): ([\d.]+)\r?$", text, re.MULTILINE)
    assert len({row[0] for row in rows}) == len(rows), text
    return {int(rank): (int(size), float(total)) for rank, size, total in rows}


def right_sums(world_size: int) -> dict[int, tuple[int, float]]:
    """Return what the ranks of ALL_SUM have to print."""
    return dict.fromkeys(range(world_size), (world_size, world_size * (world_size + 1) / 2))


def ansible_processes(process: subprocess.Popen[Any]) -> tuple[int, int]:
    """Return the pids of ansible-playbook's main process and of the worker that runs the job."""
    family = descendants(process.pid)
    playbooks = sorted(pid for pid, line in family.items() if "_ansible_playbook.py" in line or "bin/ansible-playbook" in line)
    main = next(pid for pid in playbooks if parent_of(pid) not in playbooks)
    worker = next(pid for pid in playbooks if parent_of(pid) == main)
    return main, worker

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop around the link and the job: which frame goes where, and who leaves when."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import place
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import supervisor
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.supervisor import Supervisor
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.support.processes import descendants, is_gone, parent_of
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.host.real_supervisor import RealSupervisor
from tests.unit.host_specs import host_spec
from tests.unit.loopback import free_port, own_address


class Status:
    """Remembers what is done to the job's folder."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def save(self) -> None:
        """Remember it."""
        self.done.append("save")

    def remove(self) -> None:
        """Remember it."""
        self.done.append("remove")


class FakeJob:
    """A job that does nothing by itself."""

    def __init__(self, spec: Any, *_parts: Any) -> None:
        self.spec, self.status = spec, Status()
        self.begun = self.stopped = self.over = False
        self.stops: list[float] = []

    def stop(self, grace: float) -> None:
        """Remember the grace; nothing runs then."""
        self.stops.append(grace)
        self.stopped = self.over = True

    def begin(self) -> None:
        """Have nothing to prepare."""

    deliver = reap = forget = begin

    def on_time(self, _now: float) -> None:
        """Have nothing to do."""

    def deadlines(self) -> list[float | None]:
        """Return no time."""
        return [None]


class Host:
    """A supervisor with the controller's end of its link."""

    def __init__(self) -> None:
        self.job: FakeJob | None = None
        read, self.to_host = os.pipe()
        self.from_host, write = os.pipe()
        wakeup, self.signal = os.pipe()
        self.fds = {read, write, wakeup, self.to_host, self.from_host, self.signal}
        for fd in (read, write, wakeup):
            os.set_blocking(fd, False)
        self.link = ControllerLink(read, write)
        self.supervisor = Supervisor(self.link, wakeup, None, self.make_job)

    def make_job(self, *parts: Any) -> FakeJob:
        """Return the job, and remember it."""
        self.job = FakeJob(*parts)
        return self.job

    def send(self, *frames: bytes) -> None:
        """Send as the controller does."""
        os.write(self.to_host, b"".join(frames))

    def hang_up(self) -> None:
        """Close the controller's sending end."""
        self.close(self.to_host)

    def said(self) -> list[wire.Frame]:
        """Return the frames that the host has sent."""
        self.link.flush()
        return wire.Decoder(marker=True).feed(os.read(self.from_host, 65536))

    def close(self, *fds: int) -> None:
        """Close some descriptors, or all."""
        for fd in fds or list(self.fds):
            self.fds.discard(fd)
            os.close(fd)


SPEC = wire.encode_json(wire.SPEC, host_spec(grace=7.0).to_wire())


@pytest.fixture
def host() -> Iterator[Host]:
    """Give a supervisor; it is closed at the end."""
    made = Host()
    yield made
    made.close()


def begun(host: Host) -> FakeJob:
    """Let a job begin, and return it."""
    host.supervisor._on_frame(wire.Decoder().feed(SPEC)[0])
    assert host.job
    host.job.begun = True
    return host.job


def test_ping_is_answered_and_bye_ends_it(host: Host) -> None:
    host.send(wire.encode(wire.PING), SPEC, wire.encode(wire.BYE))
    host.supervisor.run()
    assert [frame.kind for frame in host.said()] == [wire.PONG]
    assert host.job
    assert host.job.status.done == ["remove"]


def test_bye_and_hang_up_at_once_remove_the_folder_once(host: Host) -> None:
    host.send(SPEC, wire.encode(wire.BYE))
    host.hang_up()
    host.supervisor.run()
    assert host.job
    assert host.job.status.done == ["remove"]


def test_unknown_frame_is_reported_once_and_survived(host: Host) -> None:
    host.send(wire.encode(99), wire.encode(99), wire.encode(98), wire.encode(wire.BYE))
    host.supervisor.run()
    texts = [frame.json()["text"] for frame in host.said()]
    assert [text for text in texts if "99" in text] == texts[:1]
    assert len(texts) == 2


def test_lost_controller_stops_a_running_job_with_its_grace(host: Host) -> None:
    job = begun(host)
    host.hang_up()
    host.supervisor.run()
    assert (job.stops, job.status.done) == ([7.0], ["remove"])


def test_broken_connection_keeps_the_rest_for_a_recovery(host: Host) -> None:
    job = begun(host)
    host.hang_up()
    host.close(host.from_host)
    host.supervisor.run()
    assert (job.stops, job.status.done) == ([7.0], ["save"])


class FakeRecovery:
    """A recovery that has sent a part."""

    def __init__(self) -> None:
        self.status = Status()


@pytest.mark.parametrize("end", ["broken", "bye"])
def test_recovery_removes_the_rest_only_when_it_has_arrived(host: Host, end: str) -> None:
    recovery = host.supervisor._recovery = FakeRecovery()
    if end == "bye":
        host.send(wire.encode(wire.BYE))
    host.hang_up()
    host.supervisor.run()
    assert recovery.status.done == (["remove"] if end == "bye" else [])


def test_folder_that_cannot_be_removed_is_no_failure(host: Host) -> None:
    class InTheWay(Status):
        def remove(self) -> None:
            raise PermissionError(1, "a neighbour is in the way")

    recovery = host.supervisor._recovery = FakeRecovery()
    recovery.status = InTheWay()
    host.send(wire.encode(wire.BYE))
    host.supervisor.run()


def test_job_that_has_not_begun_is_forgotten_with_its_controller(host: Host) -> None:
    host.send(SPEC)
    host.hang_up()
    host.supervisor.run()
    assert host.job
    assert (host.job.stops, host.job.status.done) == ([], ["remove"])


def test_silence_for_the_lease_stops_the_job(host: Host) -> None:
    job = begun(host)
    host.supervisor._on_time(host.link.heard + 61.0)
    assert (job.stops, host.link.alive) == ([7.0], False)


def test_termination_is_reported_and_stops_the_job(host: Host) -> None:
    job = begun(host)
    host.supervisor.terminated = True
    host.supervisor._on_time(host.link.heard)
    assert job.stops == [7.0]
    [frame] = host.said()
    assert "told to terminate" in frame.json()["text"]


def test_termination_without_a_job_ends_the_supervisor(host: Host) -> None:
    host.supervisor.terminated = True
    os.write(host.signal, b"x")
    host.supervisor.run()
    assert host.said() == []


# -- as a program of its own

# A process that leaves group, session and family, and shows no environment: its name is all there is.
HIDDEN = """
import os, sys
if not os.fork():
    os.setsid()
    if not os.fork():
        for fd in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        os.execve("/bin/sleep", ["-", "1000"], {})
    os._exit(0)
os.wait()
"""
FOREVER = "\nimport time\nprint('up', flush=True)\ntime.sleep(1000)"


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealSupervisor]:
    """Give a supervisor that has started; it is ended afterwards."""
    made = RealSupervisor(tmp_path)
    yield made
    made.close()


def name_of(pid: int) -> str:
    """Return the name of a process's command, nothing when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def hidden_of(real: RealSupervisor) -> int:
    """Return the process id of the hidden process, once it is there."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [pid for pid in descendants(real.process.pid) if name_of(pid) == "sleep"]
        return bool(found) and Path(f"/proc/{found[0]}/environ").read_bytes() == b""

    wait_until(there, "the hidden process runs")
    return found[0]


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans become the supervisor's children on Linux alone")


@needs_linux
@pytest.mark.parametrize("then", ["", FOREVER], ids=["rank ends", "job is stopped"])
def test_process_that_has_hidden_ends_with_the_job(real: RealSupervisor, then: str) -> None:
    real.start(HIDDEN + then)
    hidden = hidden_of(real) if then else 0
    if then:
        real.until(wire.STDOUT)
        real.send(wire.STOP, {"grace": 5})
    frames = real.until(wire.DONE)
    assert frames[-1].json() == {"remaining": {}}
    if then:
        assert is_gone(hidden)
    else:
        assert [frame for frame in frames if frame.kind == wire.WARNING and "left processes behind" in frame.json()["text"]]
    real.send(wire.BYE)


@needs_linux
def test_process_that_has_hidden_ends_when_the_supervisor_is_killed(real: RealSupervisor) -> None:
    facts = real.start(HIDDEN + FOREVER)
    hidden = hidden_of(real)
    os.kill(facts["pid"], signal.SIGKILL)
    assert real.process.wait(PATIENCE) == 1
    wait_until(lambda: is_gone(hidden), "the guard has found it")


def ranks_of(real: RealSupervisor, count: int) -> set[int]:
    """Return the process ids of ranks that print when they are up, once all are."""
    frames = real.until(wire.STDOUT)
    while sum(frame.kind == wire.STDOUT for frame in frames) < count:
        frames += real.until(wire.STDOUT)
    return {frame.json()["pid"] for frame in frames if frame.kind == wire.STARTED}


#: A request to stop without its grace, which no controller of ours sends.
FATAL = (wire.STOP, {})


def test_failure_of_the_supervisor_itself_leaves_no_rank(real: RealSupervisor) -> None:
    """They have their grace, while whoever started it hears of the failure at once."""
    facts = real.start(*[f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN){FOREVER}"] * 2, grace=3.0)
    ranks = ranks_of(real, 2)
    real.send(*FATAL)
    assert real.process.wait(PATIENCE) == 1
    assert not any(map(is_gone, ranks))
    wait_until(lambda: all(map(is_gone, {*ranks, facts["pid"]})), "the ranks have ended")


@needs_linux
def test_failure_after_the_end_of_the_guard_leaves_no_rank(real: RealSupervisor) -> None:
    facts = real.start(HIDDEN + FOREVER)
    hidden, [rank] = hidden_of(real), ranks_of(real, 1)
    guard = parent_of(facts["pid"])
    os.kill(facts["pid"], signal.SIGSTOP)  # so that it hears of both at the same moment
    os.kill(guard, signal.SIGKILL)
    real.send(*FATAL)
    os.kill(facts["pid"], signal.SIGCONT)
    wait_until(lambda: all(map(is_gone, (facts["pid"], rank, hidden))), "all have ended")


@needs_linux
def test_killed_guard_is_replaced_at_once(real: RealSupervisor) -> None:
    facts = real.start(FOREVER)
    [rank] = ranks_of(real, 1)
    guard = parent_of(facts["pid"])
    for _ in range(2):
        os.kill(guard, signal.SIGKILL)
        found: set[int] = set()

        def another(found: set[int] = found, guard: int = guard) -> bool:
            found |= {pid for pid in descendants(facts["pid"]) if pid not in (facts["pid"], rank, guard) and not is_gone(pid)}
            return bool(found)

        wait_until(another, "there is another guard")
        [guard] = found
    wait_until(lambda: os.getsid(guard) == guard, "it is on its own")
    os.kill(facts["pid"], signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, (rank, guard))), "the guard has ended the rank, and itself")


@needs_linux
def test_guard_that_was_replaced_is_none_of_the_ranks(real: RealSupervisor, tmp_path: Path) -> None:
    """It is below the supervisor, as they are: an end would wait for it for the whole grace."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    facts = real.start(f"print('up', flush=True)\nopen({str(gate)!r}).read()", grace=1000.0)
    [rank] = ranks_of(real, 1)
    os.kill(parent_of(facts["pid"]), signal.SIGKILL)
    wait_until(lambda: set(descendants(facts["pid"])) - {facts["pid"], rank}, "there is another guard")
    gate.write_text("")
    frames = real.until(wire.DONE)
    assert frames[-1].json() == {"remaining": {}}
    assert [frame.json() for frame in frames if frame.kind == wire.WARNING] == []
    real.send(wire.BYE)
    assert real.process.wait(PATIENCE) == 0


def test_folder_that_is_removed_under_a_job_costs_nothing(real: RealSupervisor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    facts = real.start(f"print('before', flush=True)\nopen({str(gate)!r}).read()\nprint('x' * 9_000_000)\nprint('after')")
    frames = real.until(wire.STDOUT)
    shutil.rmtree(facts["folder"])
    gate.write_text("")
    frames += real.until(wire.DONE)
    output = b"".join(frame.payload for frame in frames if frame.kind == wire.STDOUT)
    assert output == b"before\n" + b"x" * 9_000_000 + b"\nafter\n"
    assert [frame.json()["code"] for frame in frames if frame.kind == wire.EXITED] == [0]
    real.send(wire.BYE)
    assert real.process.wait(PATIENCE) == 0


def test_job_without_mpi_touches_no_memory_of_others(real: RealSupervisor) -> None:
    facts = real.start("pass")
    stranger = Path(f"/dev/shm/mlxlaunch-{Path(facts['folder']).name}")
    stranger.mkdir(mode=0o700)
    try:
        (stranger / "letters").touch()
        real.until(wire.DONE)
        real.send(wire.BYE)
        assert real.process.wait(PATIENCE) == 0
        assert (stranger / "letters").exists()
    finally:
        shutil.rmtree(stranger)


def test_rank_has_the_limit_of_open_files_that_the_supervisor_was_given(tmp_path: Path) -> None:
    real = RealSupervisor(tmp_path, limits="ulimit -Sn 256")
    real.start("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])", *["pass"] * 30)
    output = b"".join(frame.payload for frame in real.until(wire.DONE) if frame.kind == wire.STDOUT)
    assert output == b"256\n"
    real.send(wire.BYE)
    real.close()


def test_too_few_open_files_are_told_before_the_start(tmp_path: Path) -> None:
    real = RealSupervisor(tmp_path, limits="ulimit -n 256")
    refused = real.prepare(*["pass"] * 30, until=wire.REFUSED)
    assert refused["problems"] == ["needs 364 open files, and may have 256 (hard limit: 256); raise that, or put fewer ranks there"]
    real.close()


def test_kept_ports_are_free_when_the_end_is_told(real: RealSupervisor) -> None:
    """Also if the guard is slow to leave."""
    port = free_port()
    guard = parent_of(real.start("import time; time.sleep(1000)", listen=[f"{own_address()}:{port}"])["pid"])
    real.until(wire.STARTED)
    os.kill(guard, signal.SIGSTOP)
    try:
        real.send(wire.STOP, {"grace": 5})
        real.until(wire.DONE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept:
            kept.bind((own_address(), port))
    finally:
        os.kill(guard, signal.SIGCONT)
    real.send(wire.BYE)


@pytest.mark.skipif(sys.platform != "linux", reason="only there selectors is left out")
def test_start_imports_no_module_that_is_slow() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(supervisor.__file__).parents[6])!r})\n"
    code += f"import {supervisor.__name__}, {place.__name__}\n{place.__name__}.parents()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    slow = {
        "_ctypes",
        "collections",
        "ctypes",
        "encodings.ascii",
        "enum",
        "json",
        "re",
        "selectors",
        "signal",
        "socket",
        "subprocess",
        "typing",
    }
    assert slow & set(done.stdout.split()) == set()

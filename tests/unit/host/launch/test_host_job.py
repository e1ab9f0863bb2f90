# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job on one host, with a real rank and everything around it replaced."""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps, snapshots
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import host_job
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.host_job import ON_FRAME, HostJob
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.prepare import Prepared
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank import RankProcess, stage
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.support.processes import is_gone, is_stopped
from tests.unit.host_specs import OWN_JOB, host_spec, rank_spec

PATIENCE = 60.0


class Ports:
    """Ports that are kept by nobody."""

    shifts = (0,)

    def __init__(self) -> None:
        self.chosen: list[int] = []
        self.doubts: list[str] = []
        self.closed = False

    def choose(self, shift: int) -> None:
        """Remember the choice."""
        self.chosen.append(shift)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class Guard:
    """Remembers its orders."""

    def __init__(self, *_job: Any) -> None:
        self.orders: list[str] = []
        self.processes: set[int] = set()

    def deadline(self) -> None:
        """Have no time at which there is something to do."""

    def on_time(self, _now: float) -> None:
        """Have nothing to do."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_words: self.orders.append(name)


class Host:
    """A job of one rank, and the controller's end of its link."""

    def __init__(self, folder: Path, program: str, problems: list[str]) -> None:
        self.problems = problems
        self.folder = str(folder / "job")
        self.read, self.write = os.pipe()
        os.set_blocking(self.write, False)
        self.link = ControllerLink(-1, self.write)
        self.decoder = wire.Decoder(marker=True)
        self.selector = selectors.DefaultSelector()
        self.ports, self.guard = Ports(), Guard()
        ranks = [rank_spec(3, sys.executable, "-c", program, env={"A": "early"})]
        self.spec = host_spec(*ranks, job=OWN_JOB, grace=0.0, files={"FILE": "early"})
        # No root: the children of pytest, a lab's among them, are none of the job's.
        self.job = HostJob(self.spec, self.link, self.selector, self.guard, self.prepare, root=0)

    def prepare(self, spec: Any, _start_mpi: Any) -> Prepared:
        """Prepare as on a host that has everything, or these problems."""
        prepared = Prepared(spec, {"cwd": "/"}, self.problems, self.ports)
        prepared.status = Status.create(self.folder)
        prepared.ranks = [RankProcess(rank, self.folder, stage(spec.files, self.folder)) for rank in spec.ranks]
        return prepared

    def send(self, kind: int, message: Any = None) -> None:
        """Send a frame as the controller does."""
        frame = wire.encode(kind) if message is None else wire.encode_json(kind, message)
        ON_FRAME[kind](self.job, wire.Decoder().feed(frame)[0])

    def said(self) -> list[wire.Frame]:
        """Return the frames that the host has sent."""
        self.link.flush()
        os.set_blocking(self.read, False)
        try:
            return self.decoder.feed(os.read(self.read, 65536))
        except BlockingIOError:
            return []

    def turn(self) -> None:
        """Do as the supervisor does in a turn of its loop."""
        self.job.deliver()
        for key, _mask in self.selector.select(0.01):
            key.data()
        self.job.reap()
        self.job.on_time(time.monotonic())

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Do as the supervisor does until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self.turn()

    def until_done(self) -> list[wire.Frame]:
        """Do as the supervisor does until the job is confirmed; return all frames."""
        frames: list[wire.Frame] = []

        def done() -> bool:
            frames.extend(self.said())
            return bool(frames) and frames[-1].kind == wire.DONE

        self.turn_until(done)
        return frames

    def close(self) -> None:
        """Let go of everything."""
        self.job.forget()
        self.selector.close()
        os.close(self.read)
        os.close(self.write)


@pytest.fixture
def host_of(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Give a function that makes the host of a program; it is closed at the end."""
    made: list[Host] = []

    def make(program: str = "", *problems: str) -> Host:
        made.append(Host(tmp_path, program, list(problems)))
        made[-1].job.begin()
        return made[-1]

    yield make
    for host in made:
        host.close()


def test_ready_host_sends_its_facts_and_folder(host_of: Callable[..., Host]) -> None:
    host = host_of()
    [frame] = host.said()
    assert (frame.kind, frame.json()) == (wire.READY, {"cwd": "/", "folder": host.folder})
    assert not host.job.begun


def test_host_with_problems_refuses(host_of: Callable[..., Host]) -> None:
    [frame] = host_of("", "no python").said()
    assert (frame.kind, frame.json()) == (wire.REFUSED, {"problems": ["no python"]})


def test_rank_runs_to_its_end_and_is_confirmed(host_of: Callable[..., Host]) -> None:
    host = host_of("import os; os.write(1, b'hello'); raise SystemExit(7)")
    host.send(wire.GO)
    frames = host.until_done()
    assert [frame.kind for frame in frames] == [wire.READY, wire.STARTED, wire.STDOUT, wire.EXITED, wire.DONE]
    assert {frame.rank for frame in frames[1:4]} == {3}
    how = frames[3].json()
    assert (how["code"], how["signal"], how["stopped"]) == (7, 0, False)
    assert frames[4].json() == {"remaining": {}}
    assert host.guard.orders == ["protect", "watch", "add", "remove", "dismiss"]
    assert (host.ports.chosen, host.ports.closed, host.job.over) == ([0], True, True)


def test_stopped_rank_is_reported_as_such(host_of: Callable[..., Host]) -> None:
    host = host_of("import time; time.sleep(900)")
    host.send(wire.GO)
    host.send(wire.STOP, {"grace": 0})
    exited = next(frame for frame in host.until_done() if frame.kind == wire.EXITED)
    assert (exited.json()["signal_name"], exited.json()["stopped"]) == ("SIGKILL", True)


def test_rank_that_has_stopped_itself_takes_its_term(host_of: Callable[..., Host]) -> None:
    host = host_of("import os, signal; signal.signal(15, lambda *_: os._exit(7)); os.write(1, b'x'); os.kill(os.getpid(), signal.SIGSTOP)")
    host.send(wire.GO)
    host.turn_until(lambda: any(frame.kind == wire.STDOUT for frame in host.said()))
    host.turn_until(lambda: is_stopped(host.job._prepared.ranks[0].pid))
    host.send(wire.STOP, {"grace": PATIENCE / 2})  # then it is killed, and nothing stays when this fails
    exited = next(frame for frame in host.until_done() if frame.kind == wire.EXITED)
    assert exited.json()["code"] == 7


def test_go_brings_the_decisions_for_another_range(host_of: Callable[..., Host]) -> None:
    host = host_of("import os; print(os.environ['A'], open(os.environ['FILE']).read(), flush=True)")
    host.send(wire.GO, {"shift": 40, "files": {"FILE": "late"}, "env": {"3": {"A": "later"}}})
    output = b"".join(frame.payload for frame in host.until_done() if frame.kind == wire.STDOUT)
    assert (output, host.ports.chosen) == (b"later late\n", [40])


def test_go_after_a_stop_starts_no_rank(host_of: Callable[..., Host]) -> None:
    host = host_of("print('hello')")
    host.send(wire.STOP, {"grace": 0})
    host.send(wire.GO)
    assert [frame.kind for frame in host.until_done()] == [wire.READY, wire.DONE]


@pytest.mark.parametrize(
    ("first", "why"), [("", "No such file or directory"), ("#!/nowhere/sh", "its interpreter, or the working directory, is not there")]
)
def test_rank_that_cannot_be_started_has_exited(host_of: Callable[..., Host], tmp_path: Path, first: str, why: str) -> None:
    host, program = host_of(), tmp_path / "program"
    if first:
        program.write_text(first)
        program.chmod(0o755)
    host.job._prepared.ranks[0]._spec = rank_spec(3, str(program))
    host.send(wire.GO)
    frames = host.until_done()
    assert [frame.kind for frame in frames] == [wire.READY, wire.EXITED, wire.DONE]
    assert (frames[1].json()["code"], frames[1].json()["error"]) == (127, f"cannot start {program}: {why}")


def test_processes_left_behind_are_ended_and_reported(host_of: Callable[..., Host]) -> None:
    host = host_of("import subprocess; subprocess.Popen(['sleep', '900'])")
    host.send(wire.GO)
    [warning] = [frame.json()["text"] for frame in host.until_done() if frame.kind == wire.WARNING]
    assert warning.startswith("the ranks left processes behind, which were ended: sleep (")


def test_orphan_that_a_snapshot_has_seen_ends_with_the_job(
    host_of: Callable[..., Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where orphans do not become the supervisor's children: it has no mark, no parent and no group of the job's."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host_job, "keep_awake", lambda: None)
    monkeypatch.setattr(snapshots, "INTERVAL", 0.05)
    monkeypatch.setattr(ps, "ALL", tuple(word.replace("-axwwE", "axwwe") for word in ps.ALL))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hide = "os.setsid(); os.fork() or os.execve('/bin/sleep', ['-', '900'], {})"
    host = host_of(
        f"import os, time; os.fork() or (exec({hide!r}), open({str(gate)!r}).read(), os._exit(0)); "
        "os.wait(); os.write(1, b'left'); time.sleep(900)"
    )
    host.send(wire.GO)
    host.turn_until(lambda: "sleep" in map(name_of, host.job._snapshots.known))
    [hidden] = [pid for pid in host.job._snapshots.known if name_of(pid) == "sleep"]
    gate.write_text("")
    host.turn_until(lambda: any(frame.kind == wire.STDOUT for frame in host.said()))
    host.send(wire.STOP, {"grace": 5})
    host.until_done()
    assert is_gone(hidden)


def name_of(pid: int) -> str:
    """Return the name of a process's command."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.parametrize("begun", [False, True])
def test_job_of_a_supervisor_that_has_failed_leaves_no_rank(host_of: Callable[..., Host], begun: bool) -> None:
    """Also if no guard is left."""
    host = host_of("import time; time.sleep(1000)")
    if begun:
        host.send(wire.GO)
    host.job.abandon()
    pids = [frame.json()["pid"] for frame in host.said() if frame.kind == wire.STARTED]
    assert (len(pids), all(map(is_gone, pids))) == (int(begun), True)

"""The sources of requests to stop, with real signals, pipes and sockets in this process."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import StopRequest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.cancellation import StopSources

PATIENCE = 60.0


class Program:
    """A launching program's socket, and the worker's end of it as `StopSources` uses it."""

    def __init__(self, early: list[wire.Frame]) -> None:
        self.ours, self._theirs = socket.socketpair()
        self._decoder = wire.Decoder()
        self._early = early

    def fileno(self) -> int:
        return self._theirs.fileno()

    def early(self) -> list[wire.Frame]:
        frames, self._early = self._early, []
        return frames

    def receive(self) -> list[wire.Frame] | None:
        data = self._theirs.recv(65536)
        return self._decoder.feed(data) if data else None

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()


def end_frame(kind: int) -> bytes:
    return wire.encode_json(kind, {"returncode": 130, "message": "interrupted by SIGINT"})


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program([])
    yield program
    program.close()


@pytest.fixture
def stops() -> Iterator[StopSources]:
    with StopSources() as stops:
        yield stops


def readable(stops: StopSources, patience: float = 0.0) -> bool:
    return bool(select.select([stops.fileno()], [], [], patience)[0])


# -- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_is_a_request_and_ends_nothing_else(stops: StopSources, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert readable(stops, PATIENCE)
    cause = Cause("interrupted", 128 + number, f"interrupted by {number.name}")
    assert stops.pending() == [StopRequest(cause, kill_if_stopping=number == signal.SIGINT)]
    assert not readable(stops)
    assert stops.pending() == []


def test_end_of_a_task_s_time_is_a_request_with_the_grace(stops: StopSources) -> None:
    signal.alarm(1)  # as Ansible does for a task with a timeout
    assert readable(stops, PATIENCE)
    [request] = stops.pending()
    assert (request.cause.kind, request.cause.returncode, request.kill_if_stopping) == ("timeout", 124, False)
    assert "task_timeout in ansible.cfg" in request.cause.message


def test_every_signal_counts(stops: StopSources) -> None:
    for _time in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    assert len(stops.pending()) == 3


def test_other_signals_are_no_requests(stops: StopSources) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_args: None)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stops.pending() == []
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_handlers_are_as_before_afterwards() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with StopSources():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1


# -- waking


def test_wake_from_a_thread_ends_a_wait_and_is_no_request(stops: StopSources) -> None:
    thread = threading.Thread(target=stops.wake)
    thread.start()
    assert readable(stops, PATIENCE)
    thread.join()
    assert stops.pending() == []
    assert not readable(stops)


def test_wake_is_possible_again_after_each_look(stops: StopSources) -> None:
    for _time in range(3):
        for _again in range(1000):
            stops.wake()
        assert readable(stops)
        stops.pending()
        assert not readable(stops)


def test_wake_while_the_last_one_is_read_is_not_lost(stops: StopSources, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink's thread wakes at any time; a wake that goes under would leave the next wait without end."""
    read, wakers = os.read, []

    def read_late(fd: int, size: int) -> bytes:
        wakers.append(threading.Thread(target=stops.wake))
        wakers[-1].start()
        wakers[-1].join(0.2)  # it may have to wait until the read is over
        return read(fd, size)

    stops.wake()
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_late)
        stops.pending()
    for waker in wakers:
        waker.join()
    stops.pending()
    stops.wake()
    assert readable(stops)


def test_wake_outside_of_the_block_does_nothing() -> None:
    stops = StopSources()
    stops.wake()
    with stops:
        assert not readable(stops)
    read, write = os.pipe()  # has the descriptors that the pipe inside had
    stops.wake()
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


# -- ansible-playbook


def test_death_of_ansible_playbook_is_one_request() -> None:
    gone = Cause("launcher_gone", 143, "ansible-playbook is gone")
    with StopSources(parent=os.getpid()) as stops:  # which is not our parent
        assert readable(stops, PATIENCE)
        assert stops.pending() == [StopRequest(gone)]
        assert not readable(stops)
        assert stops.pending() == []


# -- the launching program


@pytest.mark.parametrize(("kind", "kill"), [(wire.STOP, False), (wire.KILL, True)])
def test_launching_program_can_stop_and_kill(program: Program, kind: int, kill: bool) -> None:
    with StopSources(program) as stops:
        program.ours.sendall(end_frame(kind))
        assert readable(stops, PATIENCE)
        assert stops.pending() == [StopRequest(Cause("interrupted", 130, "interrupted by SIGINT"), kill)]


def test_death_of_the_launching_program_is_one_request(program: Program) -> None:
    with StopSources(program) as stops:
        program.ours.close()
        assert readable(stops, PATIENCE)
        assert stops.pending() == [StopRequest(Cause("launcher_gone", 143, "the process that launched the job is gone"))]
        assert not readable(stops)


def test_request_that_came_with_the_settings_counts(program: Program) -> None:
    program._early = wire.Decoder().feed(end_frame(wire.STOP))
    with StopSources(program) as stops:
        assert [request.cause.kind for request in stops.pending()] == ["interrupted"]


def test_frames_for_ranks_are_input(program: Program) -> None:
    with StopSources(program) as stops:
        program.ours.sendall(wire.encode(wire.STDIN, b"x", 3) + end_frame(wire.STOP) + wire.encode(wire.STDIN_END, b"", 3))
        assert readable(stops, PATIENCE)
        assert len(stops.pending()) == 1
        assert [(frame.kind, frame.rank, frame.payload) for frame in stops.input()] == [(wire.STDIN, 3, b"x"), (wire.STDIN_END, 3, b"")]
        assert stops.input() == []


# -- watching


def test_watch_stops_the_work_at_the_first_request(stops: StopSources) -> None:
    stopped = threading.Event()
    with stops.watch(stopped.set) as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(PATIENCE)
    assert watch.cause == Cause("interrupted", 143, "interrupted by SIGTERM")


def test_watch_stops_the_work_once(program: Program) -> None:
    calls: list[str] = []
    with StopSources(program) as stops:
        program.ours.sendall(end_frame(wire.STOP))
        program.ours.sendall(end_frame(wire.KILL))
        program.ours.close()
        with stops.watch(lambda: calls.append("stop")) as watch:
            pass
        assert watch.cause
        assert watch.cause.message == "interrupted by SIGINT"
    assert calls == ["stop"]


def test_watch_of_work_that_ends_by_itself_has_no_cause(stops: StopSources) -> None:
    calls: list[str] = []
    with stops.watch(lambda: calls.append("stop")) as watch:
        stops.wake()
    assert (watch.cause, calls) == (None, [])


def test_request_after_a_watch_is_pending(stops: StopSources) -> None:
    """A gang runs after a deploy over the same sources."""
    with stops.watch(lambda: None) as watch:
        pass
    os.kill(os.getpid(), signal.SIGINT)
    assert watch.cause is None
    assert [request.cause.returncode for request in stops.pending()] == [130]

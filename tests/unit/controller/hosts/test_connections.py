"""The channels of a job, with small programs of this machine in place of supervisors."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Arrival
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import connection as connection_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import connections as connections_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import supervisor
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connections import HostConnections
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early import handed as handed_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.handed import drop, receive
from tests.support.waiting import wait_until
from tests.unit.controller.fleets import FakeProcess
from tests.unit.controller.hosts.early.parents import Parent

PATIENCE = 60.0
REQUEST = wire.encode_json(wire.SPEC, {"job": "j"})
# The program that is sent comes first.
PEER = f"import os, sys, time; sys.stdin.buffer.read({len(supervisor())}); say = lambda data: os.write(1, data); "
MARKER = f"say({wire.MARKER!r}); "
ECHO = f"say(sys.stdin.buffer.read({len(REQUEST)})); "
STAY = "sys.stdin.buffer.read()"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def running(**programs: str) -> HostConnections:
    """Return connections to hosts that run these programs, none open."""
    return HostConnections({host: connect(program) for host, program in programs.items()})


def connect(program: str) -> connections_module.Connect:
    def argv(fresh: bool) -> Sequence[str]:
        return [sys.executable, "-S", "-c", f"fresh = {fresh}; {PEER}{program}"]

    return argv


def open_all(connections: HostConnections, *hosts: str) -> None:
    for host in hosts:
        connections.open(host, fresh=False, request=REQUEST)


def until(connections: HostConnections, *, arrivals: int = 0, frames: int = 0, lost: int = 0) -> list[Arrival]:
    """Wait for some arrivals, frames and ends; return all arrivals up to then."""
    found: list[Arrival] = []
    deadline = time.monotonic() + PATIENCE

    def enough() -> bool:
        of_frames, ends = sum(len(arrival.frames) for arrival in found), sum(arrival.lost is not None for arrival in found)
        return len(found) >= arrivals and of_frames >= frames and ends >= lost

    while not enough():
        assert time.monotonic() < deadline, found
        found += connections.wait(PATIENCE)
    return found


AWAY = "os.write(2, b'kex_exchange_identification: Connection closed by remote host'); os._exit(255)"


def once(path: Path, program: str) -> str:
    """Return a program that is turned away the first time, and then is another."""
    return f"path = {str(path)!r}; there = os.path.exists(path); open(path, 'w').close(); there or {AWAY.replace('; ', ' and ')}; {program}"


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    yield parent
    drop()
    parent.close()


def test_connection_that_was_begun_early_is_used(parent: Parent) -> None:
    argv = [*connect(MARKER + ECHO + STAY)(False)]
    told, fds = parent.start(*argv)
    os.write(fds[0], supervisor()[:1000])
    receive(None, [({**told, "sent": 1000}, fds)])
    with HostConnections({"a": lambda _fresh: argv}) as connections:
        connections.begin()
        open_all(connections, "a")
        assert until(connections, frames=1)[-1].frames[0].json() == {"job": "j"}
        assert connections._channels["a"].process.pid == told["pid"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", ["", "say(b'a greeting'); "], ids=["at once", "with a greeting"])
def test_connection_that_was_begun_early_and_fails_is_no_news(parent: Parent, tmp_path: Path, after: str) -> None:
    ends = f"path = {str(tmp_path / 'tried')!r}; there = os.path.exists(path); open(path, 'w').close(); {after}there or os._exit(1); "
    argv = [*connect(ends + MARKER + ECHO + STAY)(False)]
    receive(None, [parent.start(*argv)])
    with HostConnections({"a": lambda _fresh: argv}) as connections:
        connections.begin()
        open_all(connections, "a")
        found = until(connections, frames=1)
        assert found[-1].frames[0].json() == {"job": "j"}
        assert not any(arrival.lost for arrival in found)


def test_connection_that_was_begun_early_and_is_lost_later_is_lost(parent: Parent) -> None:
    argv = [*connect(MARKER + ECHO + "os.write(2, b'broken pipe'); os._exit(255)")(False)]
    receive(None, [parent.start(*argv)])
    with HostConnections({"a": lambda _fresh: argv}) as connections:
        connections.begin()
        open_all(connections, "a")
        assert until(connections, lost=1)[-1].lost == "broken pipe"


def test_connection_that_was_begun_early_and_fails_later_is_not_made_twice(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a host that is off: nobody waits twice for it."""
    monkeypatch.setattr(handed_module, "_MOMENT", 0.0)
    argv = [*connect("os.write(2, b'Connection timed out'); os._exit(255)")(False)]
    receive(None, [parent.start(*argv)])
    with HostConnections({"a": lambda _fresh: argv}) as connections:
        connections.begin()
        open_all(connections, "a")
        assert until(connections, lost=1)[-1].lost == "Connection timed out"


def test_early_connection_to_a_host_that_is_not_wanted_ends(parent: Parent) -> None:
    receive(None, [parent.start("cat", "-")])
    with running(a=MARKER + ECHO + STAY) as connections:
        connections.begin()
        assert parent.processes[0].wait(PATIENCE)


def test_host_that_was_turned_away_is_tried_again(tmp_path: Path) -> None:
    with running(a=once(tmp_path / "tried", MARKER + ECHO + STAY)) as connections:
        open_all(connections, "a")
        [frame] = [frame for arrival in until(connections, frames=1) for frame in arrival.frames]
    assert frame.json() == {"job": "j"}


def test_host_that_is_always_turned_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_TRIES", 1)
    with running(a=AWAY) as connections:
        open_all(connections, "a")
        [arrival] = until(connections, lost=1)
    assert arrival.lost
    assert "MaxStartups" in arrival.lost


def test_host_that_is_closed_is_not_tried_again(tmp_path: Path) -> None:
    with running(a=AWAY, b=MARKER + ECHO + STAY) as connections:
        open_all(connections, "a", "b")
        until(connections, frames=1)
        wait_until(lambda: list(connections.wait(0.05)) == [] and not connections.hosts[1:], "a was turned away")
        connections.close("a")
        assert connections.hosts == ["b"]
        assert list(connections.wait(0.0)) == []


def test_request_goes_to_the_supervisor_that_has_started() -> None:
    with running(a=MARKER + ECHO + STAY) as connections:
        open_all(connections, "a")
        [frame] = [frame for arrival in until(connections, frames=1) for frame in arrival.frames]
        assert (frame.kind, frame.json()) == (wire.SPEC, {"job": "j"})


def test_request_is_kept_until_the_supervisor_has_started() -> None:
    with running(a=f"say(b'welcome'); {STAY}") as connections:
        open_all(connections, "a")
        assert until(connections, arrivals=1) == [Arrival("a", [])]
        assert connections._requests == {"a": REQUEST}


def test_fresh_connection_is_reached_another_way() -> None:
    with running(a=f"{MARKER}say({wire.encode(wire.PONG)!r} if fresh else b''); {STAY}") as connections:
        connections.open("a", fresh=True, request=b"")
        assert [frame.kind for arrival in until(connections, frames=1) for frame in arrival.frames] == [wire.PONG]


def test_bytes_arrive_however_many_they_are() -> None:
    count = 4 * 1024 * 1024
    program = f"{MARKER}sys.stdin.buffer.read({len(REQUEST)}); got = len(sys.stdin.buffer.read({count})); say({wire.encode(wire.PONG)!r}); "
    with running(a=program + STAY) as connections:
        open_all(connections, "a")
        list(connections.wait(PATIENCE))
        connections.send("a", bytes(count))
        assert until(connections, frames=1)


def test_end_of_a_connection_has_its_reason() -> None:
    with running(a=MARKER + "sys.stderr.write('Connection refused'); sys.exit(3)") as connections:
        open_all(connections, "a")
        last = until(connections, lost=1)[-1]
        assert last.host == "a"
        assert str(last.lost).startswith("Connection refused: no sshd answers there")
        assert connections.hosts == []


def test_damaged_stream_ends_its_connection() -> None:
    with running(a=MARKER + "say(b'\\xff' * 100); " + STAY) as connections:
        open_all(connections, "a")
        assert "the stream is damaged" in str(until(connections, lost=1)[-1].lost)
        assert connections.hosts == []


def test_connection_closed_by_an_arrival_before_it_is_silent() -> None:
    pong = f"{MARKER}say({wire.encode(wire.PONG)!r}); {STAY}"
    with running(a=pong, b=pong) as connections:
        open_all(connections, "a", "b")
        deadline = time.monotonic() + PATIENCE
        for channel in connections._channels.values():
            while channel.backlog:
                channel.flush()
                assert time.monotonic() < deadline
            for fd in (channel.stderr, channel.stdin):
                connections._unregister(fd)  # so that only the two pongs are ready
        while len([key for key, _ in connections._selector.select(0.01) if key.data]) < 2:
            assert time.monotonic() < deadline
        hosts = []
        for arrival in connections.wait(PATIENCE):
            hosts.append(arrival.host)
            for other in {"a", "b"} - {arrival.host}:
                connections.close(other)
        assert len(hosts) == 1
        assert connections.hosts == hosts


def test_sending_without_a_connection_does_nothing() -> None:
    with running(a=STAY) as connections:
        connections.send("a", b"x")
        connections.close("a")
        assert connections.hosts == []


def test_paused_connections_are_not_read_until_resumed() -> None:
    with running(a=f"{MARKER}say({wire.encode(wire.PONG)!r}); {STAY}") as connections:
        connections.pause()
        open_all(connections, "a")
        assert list(connections.wait(0.0)) == []
        connections.resume()
        assert until(connections, frames=1)
        connections.pause()
        assert list(connections.wait(0.0)) == []
        connections.resume()


def test_waker_ends_a_wait_without_an_arrival(pipe: tuple[int, int]) -> None:
    with HostConnections({}, [pipe[0]]) as connections:
        os.write(pipe[1], b"w")
        assert list(connections.wait(PATIENCE)) == []


def test_local_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_CLOSE_PATIENCE", 0.0)
    with running(a="import time; time.sleep(100)") as connections:
        open_all(connections, "a")
        process = connections._channels["a"].process
    assert process.returncode == -9


def test_killed_connection_is_not_waited_for() -> None:
    with running(a="import time; time.sleep(100)") as connections:
        open_all(connections, "a")
        process = connections._channels["a"].process
        connections.close("a", kill=True)
        assert process.wait(PATIENCE) == -9


def test_command_gets_the_supervisor_s_program_first() -> None:
    started: list[Sequence[str]] = []
    process = FakeProcess()

    def start(argv: Sequence[str]) -> FakeProcess:
        started.append(argv)
        return process

    channel = connections_module.Channel("a", ["ssh", "a"], start)
    channel.send(wire.encode(wire.PING))
    got = process.read()
    while channel.backlog:
        channel.flush()
        got += process.read()
    process.close()
    assert started == [["ssh", "a"]]
    assert got == supervisor() + wire.encode(wire.PING)


def test_host_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may go on sending signs of life, and ask for more and more."""
    monkeypatch.setattr(connections_module, "MOST_UNSENT", 2**20)
    with running(a=f"{MARKER}{ECHO}time.sleep(1000)", b=f"{MARKER}{ECHO}{STAY}") as connections:
        open_all(connections, "a", "b")
        until(connections, frames=2)
        for _each in range(20):
            connections.send("a", bytes(2**17))
        assert connections.hosts == ["b"]
        assert list(connections.wait(PATIENCE)) == [Arrival("a", lost="does not read what it is sent")]


def test_channel_is_begun_before_its_request_and_used_once() -> None:
    with running(a=f"{MARKER}{ECHO}{STAY}") as connections:
        connections.begin()
        process = connections._begun["a"].process
        connections.begin()
        assert list(connections.wait(0.0)) == []
        open_all(connections, "a")
        assert connections._channels["a"].process is process
        [arrival] = [each for each in until(connections, frames=1) if each.frames]
        assert wire.encode(arrival.frames[0].kind, arrival.frames[0].payload) == REQUEST
        connections.begin()
        connections.close("a")
        connections.open("a", fresh=True, request=REQUEST)
        assert connections._channels["a"].process is not process


def test_channel_that_was_begun_for_nobody_is_killed() -> None:
    """It may still try to connect, for as long as ssh has patience; its host may have been left out since."""
    with running(a="time.sleep(100)", b=f"{MARKER}{ECHO}{STAY}") as connections:
        connections.begin()
        process = connections._begun["a"].process
        open_all(connections, "b")
        assert {each.host for each in until(connections, frames=1)} == {"b"}
        connections.close("a")
    assert process.poll() == -9


def test_channel_that_could_not_be_begun_is_tried_again() -> None:
    tries: list[Sequence[str]] = [["/no/such/ssh"], connect(MARKER + STAY)(False)]
    with HostConnections({"a": lambda _fresh: tries.pop(0)}) as connections:
        connections.begin()
        assert connections._begun == {}
        open_all(connections, "a")
        assert until(connections, arrivals=1)[0].lost is None


def test_connection_that_cannot_be_started_is_the_loss_of_its_host() -> None:
    """As without a descriptor or a process to have; the other hosts do not notice."""
    connections = HostConnections({"a": lambda _fresh: ["/no/such/ssh"], "b": connect(MARKER + STAY)})
    with connections:
        open_all(connections, "a", "b")
        arrivals = until(connections, lost=1)
        assert [(each.host, each.lost) for each in arrivals if each.lost] == [
            ("a", "cannot start the connection: No such file or directory")
        ]
        assert connections.hosts == ["b"]

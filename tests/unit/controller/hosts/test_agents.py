"""Both ends of the agents' channel, over a local shell in place of ssh, or over pipes with the test at their far end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest, wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import connection
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import AgentClient, HostFailed, Limits
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent, host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connection import start_process
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.handed import HandedProcess, receive
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled, Subprocesses
from tests.support.processes import is_gone
from tests.support.waiting import wait_until
from tests.unit.controller.fleets import Clock, FakeProcess
from tests.unit.controller.hosts.early.parents import Parent

COMMAND = ["/bin/sh", "-c", host_command([sys.executable], agent())]
SILENT = ["/bin/sh", "-c", "cat >/dev/null; :"]

Start = Callable[..., AgentClient]
News = list[tuple[str, str]]


@pytest.fixture
def news() -> News:
    return []


@pytest.fixture
def start(news: News) -> Iterator[Start]:
    """Give a function that starts an agent by its command."""
    started: list[AgentClient] = []

    def start(command: list[str] = COMMAND, lease: float = 20.0, answer: float = 20.0) -> AgentClient:
        def note(host: str, text: str) -> None:
            news.append((host, text))

        client = AgentClient("a", start_process(command), Limits(answer, lease), note, Subprocesses())
        client.flush()
        started.append(client)
        return client

    yield start
    for client in started:
        client.finish(5.0)


def handshake(client: AgentClient) -> Any:
    return client.call("hello", lease=5.0, roots=["/nowhere"], environment=None)


def test_call_returns_the_result_of_the_function(start: Start) -> None:
    found = handshake(start())
    assert found["system"] == os.uname().sysname
    assert found["machine"] == os.uname().machine


def test_agent_that_was_turned_away_is_started_again() -> None:
    away = ["/bin/sh", "-c", "echo 'kex_exchange_identification: read: Connection reset by peer' >&2; exit 255"]
    limits, again = Limits(20.0, 20.0), lambda: start_process(COMMAND)
    client = AgentClient("a", start_process(away), limits, lambda *_news: None, Subprocesses(), again=again)
    assert handshake(client)["system"] == os.uname().sysname
    client.finish(5.0)


def test_agent_that_was_begun_early_is_used_or_begun_again() -> None:
    parent = Parent()
    limits, again = Limits(20.0, 20.0), lambda: start_process(COMMAND)
    for argv, used in ((COMMAND, True), (["false"], False)):
        receive(None, [parent.start(*argv)])
        client = AgentClient("a", start_process(argv), limits, lambda *_news: None, Subprocesses(), again=again)
        assert handshake(client)["system"] == os.uname().sysname
        assert isinstance(client.process, HandedProcess) == used
        client.finish(5.0)
    parent.close()


@pytest.mark.parametrize("command", ["exec sleep 0.2", "sleep 5 & sleep 0.2"], ids=["plain", "another has its output"])
def test_end_waits_for_the_process_and_not_for_who_has_its_output(start: Start, command: str) -> None:
    client = start(["/bin/sh", "-c", command])
    begun = time.monotonic()
    client.finish(30.0)
    assert 0.1 < time.monotonic() - begun < 4.0
    assert client.process.poll() == 0


def test_agent_that_cannot_be_started_again_says_why() -> None:
    away = ["/bin/sh", "-c", f"echo '{AWAY}' >&2; exit 255"]
    again = lambda: start_process(["/no/such/ssh"])  # noqa: E731 - as in the test above
    client = AgentClient("a", start_process(away), Limits(20.0, 20.0), lambda *_news: None, Subprocesses(), again=again)
    with pytest.raises(HostFailed, match="cannot start the connection: No such file or directory"):
        handshake(client)
    client.finish(5.0)


def test_program_that_cannot_be_started_says_why(start: Start) -> None:
    with pytest.raises(HostFailed, match="cannot start /no/such/tar: No such file or directory"):
        start().run(["/no/such/tar"], feed=lambda _fd: None)


AWAY = "kex_exchange_identification: read: Connection reset by peer"


@pytest.mark.parametrize("status", [255, 12])  # of ssh, and of rsync when its ssh is turned away
def test_program_that_was_turned_away_is_run_again(start: Start, tmp_path: Path, status: int) -> None:
    client = start()
    handshake(client)
    script = f"cat >>fed; [ -e once ] && echo done && exit; touch once; echo '{AWAY}' >&2; exit {status}"
    done = client.run(["/bin/sh", "-c", script], cwd=str(tmp_path), feed=lambda fd: os.write(fd, b"x") and None)
    assert done == (0, "done\n")
    assert (tmp_path / "fed").read_text() == "xx"


def test_program_that_is_turned_away_each_time_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.random, "uniform", lambda _low, _high: 0.0)
    client = start()
    handshake(client)
    assert client.run(["/bin/sh", "-c", f"echo '{AWAY}'; exit 255"]) == (255, f"{AWAY}\n")


def test_program_that_waits_for_its_turn_ends_with_the_host(start: Start) -> None:
    client = start()
    handshake(client)
    threading.Timer(0.1, client.close).start()
    with pytest.raises(Cancelled):
        client.run(["/bin/sh", "-c", f"echo '{AWAY}'; exit 255"])


def test_agent_serves_on_after_a_call_that_failed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    client = start()
    with pytest.raises(HostFailed, match=str(tmp_path / "file")):
        client.call("wheels_folder", root=str(tmp_path / "file"), wheelhouse="x")
    assert client.call("wheels_folder", root=str(tmp_path), wheelhouse="x") == str(tmp_path / "wheels/x")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 5", "the connection ended (status 5)"),
        ("echo no such machine >&2; exit 255", "no such machine"),
        ("echo Permission denied '(publickey)' >&2; exit 255", "ssh was refused"),
        ("echo welcome; exit 0", "welcome"),
    ],
)
def test_a_channel_that_ends_says_why(start: Start, command: str, reason: str) -> None:
    with pytest.raises(HostFailed) as failure:
        handshake(start(["/bin/sh", "-c", command]))
    assert reason in str(failure.value)


def test_greeting_before_the_agent_s_first_byte_does_not_matter(start: Start) -> None:
    assert handshake(start(["/bin/sh", "-c", f"echo Welcome to this machine; {COMMAND[2]}"]))


def test_a_host_that_does_not_answer_is_given_up(start: Start) -> None:
    client = start(SILENT, answer=0.2)
    with pytest.raises(HostFailed, match=r"^no answer within 0\.2 s$"):
        handshake(client)


def test_silent_host_is_given_up_while_a_program_runs_here(start: Start) -> None:
    client = start()
    handshake(client)
    client.lease = 0.5
    os.killpg(client.process.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    try:
        with pytest.raises(HostFailed, match=r"^silent for 0\.5 s: network, host or sleep$"):
            client.run(["sleep", "1000"])
    finally:
        os.killpg(client.process.pid, signal.SIGCONT)  # type: ignore[attr-defined]


def test_close_ends_a_call_that_waits(start: Start) -> None:
    client = start(SILENT)
    threading.Timer(0.1, client.close).start()
    with pytest.raises(Cancelled):
        handshake(client)


def test_refused_call_names_the_reason(start: Start) -> None:
    with pytest.raises(HostFailed, match="cannot be the name of a project"):
        start().call("look", root="/nowhere", key="", name="../x", digest="0" * 64, share="private")


def test_agent_that_goes_removes_its_unfinished_transfer(start: Start, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/a.txt").write_text("a")
    entries = manifest.scan(str(tmp_path / "here")).entries
    where = {"root": str(tmp_path / "root"), "name": "x", "digest": manifest.digest(entries)}
    client = start()
    begun = client.call("project_begin", **where, entries=manifest.pack(entries))
    assert begun["missing"] == ["a.txt"]
    assert Path(begun["staging"]).is_dir()
    client.finish(5.0)
    assert not Path(begun["staging"]).exists()


# -- the test is the agent


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    process = FakeProcess()
    yield process
    process.close()


def client_of(process: FakeProcess, clock: Clock, news: News) -> AgentClient:
    limits = Limits(answer=30.0, lease=10.0)
    return AgentClient("a", process, limits, lambda host, text: news.append((host, text)), Subprocesses(), clock)


def reply(result: Any) -> bytes:
    return wire.encode_json(wire.REPLY, {"result": result})


def test_news_of_a_call_is_passed_on_before_its_result(process: FakeProcess, news: News) -> None:
    client = client_of(process, Clock(), news)
    process.write(wire.MARKER + wire.encode_json(wire.PROGRESS, {"text": "half done"}) + reply(7.0))
    assert client.call("clock") == 7.0
    assert news == [("a", "half done")]


def test_call_waits_with_its_request_until_the_agent_listens(process: FakeProcess, news: News) -> None:
    client = client_of(process, Clock(), news)
    program = b""
    while len(program) < len(agent()):  # more than a pipe holds
        client.flush()
        program += process.read()
    process.write(wire.MARKER + reply(1))
    client.call("clock")
    client.flush()
    assert program == agent()
    assert process.read() == wire.encode_json(wire.CALL, {"do": "clock", "with": {}})


def test_first_answer_may_take_longer_than_the_lease(process: FakeProcess, news: News) -> None:
    clock = Clock(step=12.0)
    client = client_of(process, clock, news)
    process.write(wire.MARKER + reply(1))
    assert client.call("clock") == 1


def test_silence_after_the_first_answer_counts_from_it(process: FakeProcess, news: News) -> None:
    clock = Clock()
    client = client_of(process, clock, news)
    process.write(wire.MARKER + reply(1))
    client.call("clock")
    clock._step = 6.0
    process.write(reply(2))
    assert client.call("clock") == 2
    clock._step = 11.0
    with pytest.raises(HostFailed, match="silent for 10 s"):
        client.call("clock")
    assert process.killed, "ssh would go on trying for long"


def test_heard_host_may_take_longer_than_the_lease(process: FakeProcess, news: News) -> None:
    clock = Clock(step=3.0)
    client = client_of(process, clock, news)
    sent = iter([wire.MARKER, *[wire.encode(wire.PONG)] * 8, reply(1)])
    receive = client.receive

    def next_frame() -> list[wire.Frame] | None:
        found = receive()
        process.write(next(sent, b""))
        return found

    client.receive = next_frame  # type: ignore[method-assign]
    process.write(next(sent))
    assert client.call("clock") == 1


@pytest.mark.parametrize(("frame", "hours"), [(wire.encode(wire.PONG), 2), (wire.encode_json(wire.PROGRESS, {"text": "busy"}), 24)])
def test_host_that_shows_life_for_ever_is_given_up(process: FakeProcess, news: News, frame: bytes, hours: int) -> None:
    clock = Clock()
    client = client_of(process, clock, news)
    receive = client.receive

    def next_frame() -> list[wire.Frame] | None:
        clock.now += 8.0  # less than the lease
        found = receive()
        process.write(frame)
        return found

    client.receive = next_frame  # type: ignore[method-assign]
    process.write(wire.MARKER)
    with pytest.raises(HostFailed, match="though it shows life: does a program hang there"):
        client.call("clock")
    assert hours * 3600 < clock.now - 100 < hours * 3600 + 20
    assert process.killed


def test_ping_goes_out_only_when_the_agent_listens(process: FakeProcess, news: News) -> None:
    client = client_of(process, Clock(), news)
    while client.backlog:
        client.flush()
        process.read()
    client.ping()
    assert process.read() == b""
    process.write(wire.MARKER + reply(1))
    client.call("clock")
    client.flush()
    process.read()
    client.ping()
    assert process.read() == wire.encode(wire.PING)


def test_program_on_behalf_of_a_lost_host_is_ended(process: FakeProcess, news: News) -> None:
    client = client_of(process, Clock(), news)
    process.write(wire.MARKER + reply(1), b"Connection reset by peer\n")
    client.call("clock")
    process.end(255)
    with pytest.raises(HostFailed, match="Connection reset by peer"):
        client.run(["sleep", "1000"])


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (reply("soon"), r"^a sent what is not our protocol \(answer to clock\)$"),
        (wire.encode(wire.REPLY, b"{"), "does not hold JSON"),
        (wire.encode(wire.REPLY, b"[" * 200_000), "does not hold JSON"),
        (wire.encode_json(wire.PROGRESS, {"text": 7}), r"^a sent what is not our protocol \(progress: text\)$"),
        (wire.encode(wire.STDOUT, b"hello"), r"^a sent what is not our protocol \(frame of kind 4\)$"),
        (wire.HEADER.pack(wire.REPLY, 0, 0, 2**21), "a frame of 2097152 bytes"),
    ],
    ids=["answer", "no JSON", "deep", "progress", "kind", "length"],
)
def test_host_that_breaks_the_protocol_is_let_go(process: FakeProcess, news: News, sent: bytes, reason: str) -> None:
    client = client_of(process, Clock(), news)
    process.write(wire.MARKER + sent[:60_000])
    if len(sent) > 60_000:
        threading.Thread(target=process.write, args=(sent[60_000:],), daemon=True).start()
    with pytest.raises(wire.WireError, match=reason):
        client.call("clock")
    assert process.killed


# -- the host's end, when the controller goes


def fake_python(tmp_path: Path) -> tuple[str, Path]:
    """Make a "base interpreter" that waits for ever; return its path and the file that gets the id of a child of it."""
    mark = tmp_path / "pid"
    script = tmp_path / "python3"
    script.write_text(f'#!/bin/sh\nsleep 1000 &\necho $! > "{mark}.new"\nmv "{mark}.new" "{mark}"\nwait\n')
    script.chmod(0o755)
    return str(script), mark


def serve_with_child(tmp_path: Path, lease: float) -> tuple[subprocess.Popen[bytes], int]:
    """Start an agent by hand and let a call of it run a program; return it, and the id of what runs."""
    python, mark = fake_python(tmp_path)
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(agent())
    process.stdin.flush()
    got = b""
    while wire.MARKER not in got:
        got += os.read(process.stdout.fileno(), 65536)
    arguments = {"lease": lease, "roots": [str(tmp_path)], "environment": {"wanted": python, "lock": "x"}}
    process.stdin.write(wire.encode_json(wire.CALL, {"do": "hello", "with": arguments}))
    process.stdin.flush()
    wait_until(mark.exists, "the program runs")
    return process, int(mark.read_text())


def test_program_of_a_call_ends_with_the_channel(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 1000.0)
    with process:
        assert process.stdin
        process.stdin.close()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        assert process.wait(60) == 0


def test_program_of_a_call_ends_when_the_controller_is_silent(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 0.3)
    with process:
        # The lease counts from the next thing that is heard.
        assert process.stdin
        process.stdin.write(wire.encode(wire.PING))
        process.stdin.flush()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        assert process.wait(60) == 0


def test_program_of_a_call_ends_with_the_agent(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 1000.0)
    with process:
        process.terminate()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        process.wait(60)


def test_descriptor_beyond_those_of_select_is_waited_for(news: News) -> None:
    """A controller of many hosts has descriptors above 1023."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, before[1]), before[1]))
    held = [os.open(os.devnull, os.O_RDONLY) for _each in range(1100)]
    client = AgentClient("a", start_process(COMMAND), Limits(20.0, 20.0), lambda *_news: None, Subprocesses())
    try:
        assert client.stdout > 1023
        client.flush()
        assert handshake(client)
        assert client.run(["echo", "hello"]) == (0, "hello\n")
    finally:
        client.finish(5.0)
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

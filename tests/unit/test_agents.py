"""Both ends of the agents' channel, over a local shell in place of ssh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._agents import Agent, Agents, HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._children import Cancelled, Children
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._program import agent, host_command
from tests.integration.cluster import wait_until

COMMAND = ["/bin/sh", "-c", host_command([sys.executable], agent())]


class Told:
    """What agents have told meanwhile."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, host: str, text: str) -> None:
        self.lines.append((host, text))


@pytest.fixture
def told() -> Told:
    return Told()


Start = Callable[..., Agents]


@pytest.fixture
def start(told: Told) -> Iterator[Start]:
    """Give a function that starts agents by name, each with its command."""
    started: list[Agents] = []

    def start(lease: float = 20.0, patience: float = 20.0, **commands: list[str]) -> Agents:
        agents = Agents(commands or {"a": COMMAND}, patience, lease, told, Children())
        agents.__enter__()
        started.append(agents)
        return agents

    yield start
    for agents in started:
        agents.__exit__(None, None, None)


def hello(agent: Agent) -> Any:
    return agent.call("hello", lease=5.0, root="/nowhere", environment=None)


def test_a_call_returns_what_the_function_on_the_host_returns(start: Start) -> None:
    found = start().each(hello)
    assert found["a"]["system"] == os.uname().sysname
    assert found["a"]["machine"] == os.uname().machine


def test_each_goes_to_all_hosts_or_to_those_named_in_their_order(start: Start) -> None:
    agents = start(a=COMMAND, b=COMMAND, c=COMMAND)
    assert list(agents.each(lambda agent: agent.host)) == ["a", "b", "c"]
    assert list(agents.each(lambda agent: agent.host, ["c", "a"])) == ["c", "a"]
    assert agents.each(lambda agent: agent.host, []) == {}


def test_what_fails_on_one_host_does_not_disturb_the_others(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    agents = start(a=COMMAND, b=COMMAND)

    def state(agent: Agent) -> Any:
        root = tmp_path / "file" if agent.host == "a" else tmp_path
        return agent.call("wheels_folder", root=str(root), name="x")

    assert agents.each(state) == {"b": str(tmp_path / "wheels/x")}
    assert list(agents.failed) == ["a"]
    assert str(tmp_path / "file") in agents.failed["a"]
    assert set(agents.each(hello)) == {"a", "b"}, "an agent serves on after a call that failed"


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
    agents = start(a=["/bin/sh", "-c", command])
    assert agents.each(hello) == {}
    assert reason in agents.failed["a"]


def test_a_greeting_before_the_agent_s_first_word_does_not_matter(start: Start) -> None:
    agents = start(a=["/bin/sh", "-c", f"echo Welcome to this machine; {COMMAND[2]}"])
    assert agents.each(hello)


def test_a_host_that_does_not_answer_is_given_up(start: Start) -> None:
    agents = start(a=["/bin/sh", "-c", "cat >/dev/null; :"], patience=0.2)
    assert agents.each(hello) == {}
    assert agents.failed == {"a": "no answer within 0.2 s"}


def test_a_host_that_falls_silent_is_given_up_though_a_program_here_goes_on(start: Start) -> None:
    agents = start(lease=0.5)
    agents.each(hello)
    (running,) = agents._agents.values()
    os.killpg(running._process.pid, signal.SIGSTOP)
    try:
        assert agents.each(lambda agent: agent.run(["sleep", "1000"])) == {}
    finally:
        os.killpg(running._process.pid, signal.SIGCONT)
    assert agents.failed == {"a": "silent for 0.5 s: network, host or sleep"}


def test_a_host_that_is_heard_may_take_longer_than_the_lease(start: Start) -> None:
    agents = start(lease=0.3)
    agents.each(hello)
    assert agents.each(lambda agent: agent.run(["sh", "-c", "sleep 1; echo done"])) == {"a": (0, "done\n")}


def test_close_ends_calls_that_wait(start: Start) -> None:
    agents = start(a=["/bin/sh", "-c", "cat >/dev/null; :"])
    threading.Timer(0.1, agents.close).start()
    with pytest.raises(Cancelled):
        agents.each(hello)


def test_somebody_is_told_who_is_not_done(start: Start) -> None:
    agents = start(a=COMMAND, b=["/bin/sh", "-c", "cat >/dev/null; :"], patience=1.0)
    pending: list[list[str]] = []
    agents.each(hello, None, pending.append)
    assert ["b"] in pending or ["a", "b"] in pending


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
    arguments = {"lease": lease, "root": str(tmp_path), "environment": {"wanted": python, "lock": "x"}}
    process.stdin.write(wire.encode_json(wire.CALL, {"do": "hello", "with": arguments}))
    process.stdin.flush()
    wait_until(mark.exists, "the program runs")
    return process, int(mark.read_text())


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_what_a_call_runs_ends_when_the_channel_does(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 1000.0)
    with process:
        assert process.stdin
        process.stdin.close()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        assert process.wait(10) == 0


def test_what_a_call_runs_ends_when_the_controller_is_silent_for_the_lease(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 0.3)
    with process:
        # The lease counts from the next thing that is heard.
        assert process.stdin
        process.stdin.write(wire.encode(wire.PING))
        process.stdin.flush()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        assert process.wait(10) == 0


def test_what_a_call_runs_ends_when_the_agent_is_asked_to(tmp_path: Path) -> None:
    process, pid = serve_with_child(tmp_path, 1000.0)
    with process:
        process.terminate()
        wait_until(lambda: is_gone(pid), "what it ran is gone")
        process.wait(10)


def test_an_agent_that_goes_removes_the_transfer_it_had_begun(start: Start, tmp_path: Path) -> None:
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _manifest as manifest

    (tmp_path / "here").mkdir()
    (tmp_path / "here/a.txt").write_text("a")
    entries = manifest.scan(str(tmp_path / "here")).entries
    where = {"root": str(tmp_path / "root"), "name": "x", "digest": manifest.digest(entries)}
    agents = start()
    begun = agents.each(lambda agent: agent.call("project_begin", **where, entries=manifest.pack(entries)))["a"]
    assert begun["missing"] == ["a.txt"]
    assert Path(begun["staging"]).is_dir()
    agents.__exit__(None, None, None)
    assert not Path(begun["staging"]).exists()


def test_host_failed_is_what_a_refused_call_raises(start: Start) -> None:
    agents = start()

    def call(agent: Agent) -> str:
        with pytest.raises(HostFailed, match="cannot be the name of a project"):
            agent.call("look", root="/nowhere", key="", name="../x", digest="0" * 64)
        return "refused"

    assert agents.each(call) == {"a": "refused"}


def test_what_is_done_meanwhile_is_done_while_hosts_answer(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    agents = start(a=["/bin/sh", "-c", f"read line <{gate}; {COMMAND[2]}"])
    assert agents.each(hello, meanwhile=lambda: gate.write_text("go\n") and None)["a"]


def test_what_goes_wrong_meanwhile_ends_the_wait_for_hosts(start: Start) -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        start(a=["/bin/sh", "-c", "cat >/dev/null"]).each(hello, meanwhile=fail)

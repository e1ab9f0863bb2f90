# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of calls: answers, failures, and programs that end in time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent.server import AgentServer
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.support.users import NOBODY, ONLY_ROOT

PATIENCE = 60.0


class Served:
    """A server in a thread, and the controller's ends of its link."""

    def __init__(self, **functions: Any) -> None:
        read, self.to_host = os.pipe()
        self.from_host, write = os.pipe()
        self.fds = [read, self.from_host, write]
        self.server = AgentServer(read, write, functions)
        self.server._leave = self._leave  # without its last resort, which would end this process
        self.decoder = wire.Decoder(marker=True)
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()

    def _leave(self) -> None:
        self.server.gone = True
        self.server._calls.put(None)

    def ask(self, kind: int, **message: Any) -> wire.Frame:
        """Send a frame and return the first one that comes back."""
        os.write(self.to_host, wire.encode_json(kind, message))
        frames: list[wire.Frame] = []
        while not frames:
            frames = self.decoder.feed(os.read(self.from_host, 65536))
        return frames[0]

    def call(self, name: str, **given: Any) -> Any:
        """Call a function; return its reply."""
        return self.ask(wire.CALL, **{"do": name, "with": given}).json()

    def hang_up(self) -> None:
        """End the link, and wait until the server has ended."""
        if self.to_host >= 0:
            os.close(self.to_host)
            self.to_host = -1
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def fails(_server: AgentServer, how: str) -> None:
    """Fail in one of the ways a call can."""
    if how == "call":
        raise CallFailed("the store is full")
    raise PermissionError(13, "Permission denied", "/opt/mlxlaunch")


@pytest.fixture
def served() -> Iterator[Served]:
    """Give a server with a few functions; it has ended afterwards."""
    made = Served(add=lambda _server, a, b: a + b, fails=fails)
    yield made
    made.hang_up()
    for fd in made.fds:
        os.close(fd)


def test_calls_are_answered_in_turn(served: Served) -> None:
    assert [served.call("add", a=1, b=number) for number in (2, 3)] == [{"result": 3}, {"result": 4}]


@pytest.mark.parametrize(("how", "text"), [("call", "the store is full"), ("system", "Permission denied: /opt/mlxlaunch")])
def test_failure_is_a_text_and_not_the_end(served: Served, how: str, text: str) -> None:
    assert served.call("fails", how=how) == {"error": text}
    assert served.call("add", a=1, b=1) == {"result": 2}


def test_ping_is_answered(served: Served) -> None:
    assert served.ask(wire.PING).kind == wire.PONG


def test_end_of_the_link_runs_what_was_asked_for_it(served: Served) -> None:
    ended: list[str] = []
    served.server.at_end["copy"] = lambda: ended.append("copy")
    served.hang_up()
    assert ended == ["copy"]


#: An agent that gives up after a moment, in a process of its own: it looks at the processor time of all its threads.
SLOW = """
import os, sys, time
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent import server
server._HANGS = 1.0
def begin(agent):
    agent.lease = 1.0
def hang(agent, path):
    os.open(path, os.O_WRONLY)
def work(agent):
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass
    return "done"
def wait(agent):
    return agent.run(["/bin/sleep", "1.5"])[0]
server.serve({"begin": begin, "hang": hang, "work": work, "wait": wait})
"""


def last_reply(do: str, **given: Any) -> Any:
    """Return the reply of such an agent, which is pinged all the time."""
    calls = [{"do": "begin", "with": {}}, {"do": do, "with": given}]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}
    ) as agent:
        assert agent.stdin, "a pipe"
        assert agent.stdout, "a pipe"
        decoder, replies, deadline = wire.Decoder(marker=True), [], time.monotonic() + PATIENCE
        os.write(agent.stdin.fileno(), b"".join(wire.encode_json(wire.CALL, call) for call in calls))
        while len(replies) < len(calls) and time.monotonic() < deadline:
            if select.select([agent.stdout], [], [], 0.05)[0]:
                frames = decoder.feed(os.read(agent.stdout.fileno(), 65536))
                replies += [frame.json() for frame in frames if frame.kind == wire.REPLY]
            os.write(agent.stdin.fileno(), wire.encode(wire.PING))
        agent.kill()
    return replies[1]


def test_call_that_hangs_fails_with_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    assert last_reply("hang", path=path) == {"error": f"nothing has come from its disk for 1 s: does {path} hang?"}


@pytest.mark.parametrize(("do", "result"), [("work", "done"), ("wait", 0)])
def test_call_that_takes_long_is_not_given_up(do: str, result: object) -> None:
    assert last_reply(do) == {"result": result}


def test_program_that_hangs_is_ended_when_its_time_is_up() -> None:
    status, said = AgentServer(-1, -1, {}).run(["/bin/sh", "-c", "echo begun; sleep 600"], timeout=0.5)
    assert (status, said) == (-signal.SIGKILL, "begun\n")


@ONLY_ROOT
def test_root_starts_no_program_that_others_can_change(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    program.chmod(0o755)
    os.chown(program, NOBODY, NOBODY)
    with pytest.raises(OSError, match="and root runs nothing such"):
        AgentServer(-1, -1, {}).run([str(program)])
    assert not (tmp_path / "ran").exists()

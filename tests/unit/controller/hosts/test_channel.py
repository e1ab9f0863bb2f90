"""The channel of a supervisor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import supervisor
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.channel import Channel
from tests.unit.controller.fleets import FakeProcess


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    process = FakeProcess()
    yield process
    process.close()


def test_command_gets_the_supervisor_s_program_first(process: FakeProcess) -> None:
    started: list[Sequence[str]] = []

    def start(argv: Sequence[str]) -> FakeProcess:
        started.append(argv)
        return process

    channel = Channel("a", ["ssh", "a"], start)
    channel.send(wire.encode(wire.PING))
    got = process.read()
    while channel.backlog:
        channel.flush()
        got += process.read()
    assert started == [["ssh", "a"]]
    assert got == supervisor() + wire.encode(wire.PING)

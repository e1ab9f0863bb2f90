# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output on its way from ranks' pipes to the link: it never stands still, however the link takes bytes."""

from __future__ import annotations

import os
import random
import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import output_pump, stream
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.output_pump import OutputPump
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stream import Stream
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

LINE = b"x" * 9 + b"\n"


class MoodyLink(ControllerLink):
    """Takes all or nothing, as `moods` says, one item per flush; what it took is in `taken`."""

    def __init__(self, fds: tuple[int, int], moods: Iterator[bool]) -> None:
        super().__init__(*fds)
        self.moods = moods
        self.taken = b""
        self._out.clear()

    def flush(self, wait: bool = False) -> None:  # noqa: ARG002 - as in its base
        if next(self.moods):
            self.taken += self._out
            self._out.clear()


class Host:
    """A pump for the stdout of one rank, in a selector of its own, with a clock that stands."""

    def __init__(self, folder: Path, moods: Iterator[bool]) -> None:
        read, self.write = os.pipe()
        os.set_blocking(read, False)
        self.ends = os.pipe()
        self.stream = Stream(0, "stdout", read, str(folder / "spool"))
        self.link = MoodyLink(self.ends, moods)
        self.selector = selectors.DefaultSelector()
        self.now = 0.0
        self.full: list[str] = []
        self.pump = OutputPump(self.selector, self.link, self.on_full, lambda: self.now)
        self.pump.add([self.stream])

    def on_full(self, why: str) -> None:
        """Take a report that there is no room."""
        self.full.append(why)

    def say(self, data: bytes) -> None:
        """Print as the rank would, and let the pump read all of it."""
        os.write(self.write, data)
        self.turn()

    def turn(self) -> None:
        """Do as the supervisor does in a turn of its loop, until nothing is ready to be read."""
        while any(key.data() or key.fd == self.stream.fd for key, _mask in self.selector.select(0) if key.fd != self.link.fd_out):
            pass

    def deliver(self) -> None:
        """Do as the supervisor does before it waits."""
        self.link.flush()
        self.pump.pump()
        self.link.watch(self.selector)

    def payload(self) -> bytes:
        """Return the output that the link took."""
        return b"".join(frame.payload for frame in wire.Decoder().feed(self.link.taken))

    def close(self) -> None:
        self.stream.forget()
        self.selector.close()
        for fd in (*self.ends, self.write):
            os.close(fd)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a host whose link takes everything."""
    made = Host(tmp_path, iter(lambda: True, None))
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(20))
def test_rest_on_disk_waits_for_the_link_only(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall here lasts until the next ping: the rank may be done writing, and nothing else wakes the supervisor up."""
    monkeypatch.setattr(output_pump, "BACKLOG", 400)
    monkeypatch.setattr(stream, "CHUNK", 100)
    dice = random.Random(seed)  # noqa: S311 - a replay, no secret
    host = Host(tmp_path, iter(lambda: dice.random() < 0.4, None))
    host.say(LINE * 400)
    for _turn in range(1000):
        host.deliver()
        if host.stream.sent == 4000 and not host.link.backlog:
            break
        assert host.link.writing, "nothing would wake the supervisor up"
    assert host.stream.sent == 4000
    assert len(host.link.taken) == 4000 + 40 * len(wire.encode(wire.STDOUT, b"", 0, 0))
    host.close()


def test_kept_beginning_of_a_line_goes_after_its_moment(host: Host) -> None:
    """Also when the moment has passed before the supervisor looks at its clock."""
    host.say(LINE * 1000 + b"half")
    host.deliver()
    assert host.stream.sent == 10_000
    assert host.pump.deadline() == stream.MOMENT
    host.now = 2 * stream.MOMENT
    host.deliver()
    assert (host.stream.sent, host.pump.deadline()) == (10_004, None)


def test_full_disk_is_reported_once_and_nothing_is_lost(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(host.stream._spool, "append", lambda _data: 0)
        full.setattr(host.stream._spool, "problem", "the disk is full")
        for _time in range(2):
            host.say(LINE)
            assert host.stream.fd not in host.selector.get_map(), "read although there is no room"
            host.deliver()
            assert host.stream.fd in host.selector.get_map()
    assert host.full == ["the disk is full"]
    assert host.payload() == LINE * 2


def test_pipe_of_a_dead_rank_is_read_to_its_end(host: Host) -> None:
    os.write(host.write, LINE * 3)
    host.pump.drain([host.stream])
    assert host.link.backlog > len(LINE * 3)
    assert not host.pump.drained  # a grandchild may write
    host.pump.close()
    assert host.pump.drained
    assert not host.selector.get_map()
    host.deliver()
    assert host.payload() == LINE * 3


def test_acknowledged_output_is_released(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    monkeypatch.setattr(host.stream._spool, "release", released.append)
    host.say(LINE * 2)
    host.deliver()
    host.pump.acknowledge(0, "stdout", 10)
    assert released == [10]


def test_no_output_is_sent_when_the_controller_is_gone(host: Host) -> None:
    host.say(LINE)
    host.link.give_up()
    host.deliver()
    assert (host.stream.sent, host.pump.deadline()) == (0, None)

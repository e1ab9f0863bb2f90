# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's connection to the controller: frames, backlog, and the signs that it is gone."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire


class Wire:
    """A link, and the controller's ends of it; its clock stands unless it is moved."""

    def __init__(self) -> None:
        self.now = 5.0
        read, self.to_host = os.pipe()
        self.from_host, write = os.pipe()
        for fd in (read, write):
            os.set_blocking(fd, False)
        self.link = ControllerLink(read, write, lambda: self.now)
        self.fds = {read, write, self.to_host, self.from_host}

    def close(self, *fds: int) -> None:
        """Close some of its descriptors, or all."""
        for fd in fds or list(self.fds):
            self.fds.remove(fd)
            os.close(fd)


@pytest.fixture
def ends() -> Iterator[Wire]:
    """Give a link that is closed at the end."""
    made = Wire()
    yield made
    made.close()


def test_marker_comes_before_the_first_frame(ends: Wire) -> None:
    ends.link.warn("careful")
    ends.link.flush()
    decoder = wire.Decoder(marker=True)
    [frame] = decoder.feed(os.read(ends.from_host, 4096))
    assert (frame.kind, frame.json()) == (wire.WARNING, {"text": "careful"})
    assert ends.link.backlog == 0


def test_frames_are_returned_and_count_as_a_sign_of_life(ends: Wire) -> None:
    os.write(ends.to_host, wire.encode(wire.PING) + wire.encode(wire.BYE)[:3])
    ends.now = 9.0
    assert [frame.kind for frame in ends.link.receive()] == [wire.PING]
    assert (ends.link.heard, ends.link.alive) == (9.0, True)


def test_end_of_input_is_the_end_of_the_controller_only(ends: Wire) -> None:
    ends.close(ends.to_host)
    assert ends.link.receive() == []
    assert not ends.link.alive
    assert not ends.link.broken()


def test_link_nobody_reads_from_is_broken(ends: Wire) -> None:
    ends.close(ends.from_host)
    assert ends.link.broken()
    ends.link.flush()
    assert (ends.link.alive, ends.link.backlog) == (False, 0)


def test_silent_link_counts_as_broken(ends: Wire) -> None:
    ends.link.give_up()
    assert (ends.link.alive, ends.link.broken()) == (False, True)


def test_selector_waits_for_the_link_while_bytes_wait(ends: Wire) -> None:
    with selectors.DefaultSelector() as selector:
        ends.link.watch(selector)
        assert ends.link.writing
        [(key, _mask)] = selector.select(0)
        key.data()
        ends.link.flush()
        ends.link.watch(selector)
        assert not selector.get_map()


def test_full_connection_keeps_the_rest(ends: Wire) -> None:
    ends.link.send(bytes(4 * 1024 * 1024))
    ends.link.flush()
    before = ends.link.backlog
    assert 0 < before < 4 * 1024 * 1024
    os.read(ends.from_host, 65536)
    ends.link.flush()
    assert ends.link.backlog < before

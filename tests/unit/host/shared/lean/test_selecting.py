"""The selector without the module `selectors` does what that module's does."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import selecting

if not hasattr(selecting.select, "epoll"):
    pytest.skip("no epoll here: the module's own is used", allow_module_level=True)

KINDS = [selecting.EpollSelector, selectors.EpollSelector]
READ, WRITE = selecting.EVENT_READ, selecting.EVENT_WRITE


@pytest.fixture(params=KINDS, ids=["ours", "the module's"])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.EpollSelector]:
    with request.param() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def ready(selector: selectors.EpollSelector, timeout: float | None = 0) -> list[tuple[object, int, object]]:
    return sorted((key.fileobj, mask, key.data) for key, mask in selector.select(timeout))


def test_events_are_those_of_the_module() -> None:
    assert (READ, WRITE) == (selectors.EVENT_READ, selectors.EVENT_WRITE)
    assert selecting.DefaultSelector is selecting.EpollSelector


def test_nothing_is_ready_when_nothing_is_watched(selector: selectors.EpollSelector) -> None:
    assert (ready(selector), ready(selector, -1), dict(selector.get_map())) == ([], [], {})


def test_what_can_be_read_or_written_is_ready(selector: selectors.EpollSelector) -> None:
    read, write = os.pipe()
    assert selector.register(read, READ, "in").data == "in"
    assert ready(selector) == []
    selector.register(write, WRITE, "out")
    os.write(write, b"x")
    assert ready(selector, None) == sorted([(read, READ, "in"), (write, WRITE, "out")])
    assert selector.unregister(write).fd == write
    assert set(selector.get_map()) == {read}
    assert ready(selector) == [(read, READ, "in")]
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("events", [READ, WRITE, READ | WRITE])
def test_end_of_the_other_side_is_ready_for_all(
    selector: selectors.EpollSelector, pair: tuple[socket.socket, socket.socket], events: int
) -> None:
    ours, theirs = pair
    key = selector.register(ours, events)
    theirs.close()
    [(found, mask)] = selector.select(0)
    assert (found.fd, found.fileobj, mask) == (key.fd, ours, events)


def test_pipe_without_a_reader_is_ready_for_its_writer(selector: selectors.EpollSelector) -> None:
    read, write = os.pipe()
    selector.register(write, WRITE)
    os.close(read)
    assert ready(selector) == [(write, WRITE, None)]
    os.close(write)


def test_file_is_watched_once(selector: selectors.EpollSelector, pair: tuple[socket.socket, socket.socket]) -> None:
    selector.register(pair[0], READ)
    with pytest.raises(KeyError):
        selector.register(pair[0].fileno(), READ)
    selector.unregister(pair[0].fileno())
    with pytest.raises(KeyError):
        selector.unregister(pair[0])


def test_closed_file_is_watched_no_longer(selector: selectors.EpollSelector) -> None:
    read, write = os.pipe()
    selector.register(read, READ)
    os.close(read)
    os.close(write)
    assert ready(selector) == []
    selector.unregister(read)
    assert not selector.get_map()


def test_file_that_cannot_be_watched_is_an_error(selector: selectors.EpollSelector, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(PermissionError):
        selector.register(fd, READ)
    assert not selector.get_map()
    os.close(fd)


@pytest.mark.parametrize("timeout", [0.0004, 0.02])
def test_selector_waits_for_its_timeout(selector: selectors.EpollSelector, timeout: float) -> None:
    began = time.monotonic()
    assert ready(selector, timeout) == []
    assert time.monotonic() - began >= timeout


def test_system_without_epoll_gets_the_selector_of_the_module() -> None:
    code = f"import select, sys; del select.epoll; sys.path.insert(0, {str(Path(selecting.__file__).parent)!r})"
    code += "; import selecting, selectors; print(selecting.DefaultSelector is selectors.DefaultSelector)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"

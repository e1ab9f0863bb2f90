"""The connection to the worker: who comes, what is sent, and how events are put together."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import VERSION, greeting
from mlxlaunch_ansible import Event, LaunchError
from mlxlaunch_ansible._worker import WorkerLink, events_in

PATIENCE = 60.0
GREETING = wire.encode_json(wire.PING, greeting())


@pytest.fixture
def path() -> Iterator[Path]:
    """Short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder, "s")


@pytest.fixture
def link(path: Path) -> Iterator[WorkerLink]:
    link = WorkerLink()
    link.listen(path)
    yield link
    link.close()


def connected(path: Path, first: bytes = b"") -> socket.socket:
    worker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    worker.settimeout(PATIENCE)
    worker.connect(str(path))
    worker.sendall(first)
    return worker


def test_worker_gets_the_setup_first(link: WorkerLink, path: Path) -> None:
    link.send(b"too early")
    with connected(path, GREETING) as worker:
        assert link.accept(lambda: (b"setup", []))
        link.send(b" and more")
        assert worker.recv(5, socket.MSG_WAITALL) == b"setup"
        assert worker.recv(9, socket.MSG_WAITALL) == b" and more"


def test_frames_end_with_the_worker(link: WorkerLink, path: Path) -> None:
    with connected(path, GREETING) as worker:
        assert link.accept(lambda: (b"setup", []))
        worker.sendall(wire.encode_json(wire.EVENT, {"event": "x"}))
    assert [frame.kind for frame in link.frames()] == [wire.EVENT]
    link.send(b"to nobody")


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (wire.encode(wire.PING), "the collection of another version does not fit"),
        (wire.encode_json(wire.PING, {"version": "0.1", "collection": "/old/cluster"}), "the collection 0.1 in /old/cluster does not fit"),
        (wire.encode_json(wire.EVENT, {"event": "job_started"}), "the collection of another version"),
        (wire.encode_json(wire.PING, [1]), "the collection of another version"),
        (b"\xff" * 64, "the collection of another version"),
    ],
)
def test_worker_of_another_version_gets_no_setup(link: WorkerLink, path: Path, first: bytes, named: str) -> None:
    with connected(path, first) as worker:
        with pytest.raises(LaunchError) as caught:
            link.accept(lambda: (b"setup", []))
        assert worker.recv(5) == b""
    assert named in str(caught.value)
    assert f"mlxlaunch.cluster {VERSION} in /" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_wake_ends_the_wait_for_a_worker(link: WorkerLink, path: Path) -> None:
    threading.Thread(target=link.wake, args=(path,), daemon=True).start()
    assert link.accept(lambda: (b"setup", [])) is False


def test_worker_that_dies_at_once_counts_as_none(link: WorkerLink, path: Path) -> None:
    connected(path).close()
    assert link.accept(lambda: (b"setup", [])) is False


def test_accept_before_listen_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="accept before listen"):
        WorkerLink().accept(lambda: (b"", []))


def test_output_is_put_together_from_two_frames() -> None:
    fields = {"event": "rank_output", "job": "j1", "time": 1.0, "host": "a", "rank": 2, "stream": "stderr"}
    frames = [wire.Frame(wire.EVENT, wire.encode_json(wire.EVENT, fields)[wire.HEADER.size :]), wire.Frame(wire.STDERR, b"\xff", 2)]
    [event] = events_in(frames)
    assert event == Event("rank_output", "j1", 1.0, "a", 2, b"\xff", {"stream": "stderr"})


def test_other_frames_pass_as_they_are() -> None:
    frame = wire.Frame(wire.PING)
    assert list(events_in([frame])) == [frame]

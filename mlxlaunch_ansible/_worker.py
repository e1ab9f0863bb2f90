# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to Ansible's worker, which runs a job and reports over a Unix socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ._core import COLLECTION_VERSION, STREAM_NAMES, LaunchError, mismatch, wire
from ._result import Event

_PIECE = 256 * 1024

#: A process that is handed over: what the worker is told of it, and its descriptors.
Handed = tuple[Mapping[str, Any], Sequence[int]]


class WorkerLink:
    """The launching process's end: one worker connects, or none does. Any thread may send; one thread receives."""

    def __init__(self) -> None:
        self._listener: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()

    @property
    def connected(self) -> bool:
        """Whether the worker has come."""
        return self._connection is not None

    def listen(self, path: Path) -> None:
        """Begin to take connections at `path`."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)

    def accept(self, welcome: Callable[[], tuple[bytes, Sequence[Handed]]]) -> bool:
        """Wait for the worker and send it the job's setup, before other threads can send; return False after `wake`.

        Args:
            welcome: called when it has come; returns the setup's frame, and what is handed over.

        Raises:
            LaunchError: the worker's collection is of another version.
        """
        if self._listener is None:
            raise RuntimeError("accept before listen")
        connection, _address = self._listener.accept()
        try:
            greeting = _greeting(connection)
            if greeting is None:
                connection.close()
                return False
            if greeting.get("version") != COLLECTION_VERSION:
                connection.close()
                raise LaunchError(mismatch("the collection", greeting.get("version", ""), greeting.get("collection", "")))
            setup, handed = welcome()
            connection.sendall(setup)
            for told, fds in handed:
                _send_with(connection, wire.encode_json(wire.HANDED, told), fds)
        except OSError:  # it died at once
            connection.close()
            return False
        self._connection = connection
        return True

    @staticmethod
    def wake(path: Path) -> None:
        """End an `accept` at `path` that no worker would answer any more."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.connect(str(path))

    def send(self, frame: bytes) -> None:
        """Send to the worker, if it has connected; its death shows when its frames end."""
        connection = self._connection
        if connection:
            with self._sending, contextlib.suppress(OSError):
                connection.sendall(frame)

    def frames(self) -> Iterator[wire.Frame]:
        """Yield the worker's frames until its end."""
        decoder = wire.Decoder()
        while data := self._receive():
            yield from decoder.feed(data)

    def drain(self) -> None:
        """Discard all further frames, so that the worker can come to its end."""
        while self._receive():
            pass

    def close(self) -> None:
        """Close the sockets."""
        for end in (self._connection, self._listener):
            if end:
                end.close()

    def _receive(self) -> bytes:
        with contextlib.suppress(OSError):
            return self._connection.recv(_PIECE) if self._connection else b""
        return b""


def _send_with(connection: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    """Send bytes, and descriptors with the first of them."""
    connection.sendall(data[socket.send_fds(connection, [data], fds) :])


def _greeting(connection: socket.socket) -> dict[str, Any] | None:
    """Return what a worker says first, nothing at all for one of a version that says it otherwise, None without any."""
    decoder, frames = wire.Decoder(), list[wire.Frame]()
    try:
        while not frames:
            data = connection.recv(_PIECE)
            if not data:
                return None
            frames = decoder.feed(data)
        found = frames[0].json()
    except wire.WireError:
        return {}
    return found if isinstance(found, dict) else {}


def events_in(frames: Iterable[wire.Frame]) -> Iterator[Event | wire.Frame]:
    """Yield the events that frames hold, and frames of other kinds as they are.

    A rank's output takes two frames: its event, and then its bytes.
    """
    output: dict[str, Any] = {}
    for frame in frames:
        if frame.kind in STREAM_NAMES:
            yield Event.from_json(output, frame.payload)
        elif frame.kind == wire.EVENT:
            fields = frame.json()
            if fields["event"] == "rank_output":
                output = fields
            else:
                yield Event.from_json(fields)
        else:
            yield frame

# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the frames that a channel carries. Bytes in, frames out; no file, process or clock.

Both ends use this one file: the controller imports it, a host receives its source over the channel.
It therefore needs nothing beyond Python 3.9's standard library.

A frame is a header (kind, rank, offset, length) and that many bytes. Output travels as it is, control
messages as JSON. What comes before `MARKER` is a login shell's greeting and is set aside.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False  # to import typing would cost every host a hundredth of a second
if TYPE_CHECKING:
    from typing import Any

# A shell that echoes its command line cannot produce this: an argument never contains a NUL byte.
MARKER = b"\n\0mlxlaunch 1\0\n"

HEADER = struct.Struct("!BHQI")
MAX_PAYLOAD = 64 * 1024 * 1024
MAX_GREETING = 256 * 1024

# host to controller
READY = 1  # facts about the host: it can start its ranks
REFUSED = 2  # what is wrong on the host
STARTED = 3  # a rank's process id
STDOUT = 4  # a rank's bytes, at `offset` of its stdout
STDERR = 5
EXITED = 6  # how a rank ended
WARNING = 7  # something a person should know
DONE = 8  # no process of the job is left here
PONG = 9
WANTED = 50  # mpirun's wish to run a command on another host (JSON: id, host, words)
SAID = 51  # what mpirun or its daemon prints (JSON: name, text)
LEFT = 52  # how mpirun or its daemon ended (JSON: name, code, signal, error)
# controller to host
SPEC = 20  # what to run
GO = 21  # start; what could only be told when all were ready (JSON), or nothing
STOP = 22  # TERM, grace, KILL
KILL = 23  # KILL at once
PING = 24
ACK = 25  # everything of `rank` below `offset` is safe on the controller (JSON: stream)
BYE = 26  # all received: forget the job
DAEMON = 60  # start mpirun's daemon (JSON: argv, env)
ANSWER = 61  # to WANTED (JSON: id, code)
# controller and agent, when something is deployed or checked
CALL = 30  # a function and its arguments (JSON: do, with)
REPLY = 31  # what it returned (JSON: result), or why it did not (JSON: error)
PROGRESS = 32  # what it does meanwhile (JSON: text)
# launching process and worker, over the job's private socket
EVENT = 40
# standard input, from the launching process over the worker to a host
STDIN = 70  # bytes for `rank`
STDIN_END = 71  # no more of them
SCREEN = 72  # the size of the terminal that `rank` has (JSON: columns, lines)
# and back
ROOM = 73  # `rank` may be sent bytes up to `offset`, counted from its first
TAKERS = 74  # from the worker: which ranks have a standard input (JSON: ranks, tty)

EVERY_RANK = 0xFFFF  # as the rank of a frame: all that have a standard input on the host


class WireError(Exception):
    """The other side sent something that is not this protocol."""


class Frame:
    """One message: its kind, the rank it is about, an offset in bytes, and the payload."""

    __slots__ = ("kind", "offset", "payload", "rank")

    def __init__(self, kind: int, payload: bytes = b"", rank: int = 0, offset: int = 0) -> None:
        self.kind = kind
        self.payload = payload
        self.rank = rank
        self.offset = offset

    def json(self) -> Any:
        """Return the payload of a control message as the object it encodes."""
        try:
            return json.loads(self.payload.decode("utf-8"))
        except ValueError as exc:
            raise WireError("frame of kind %d does not hold JSON: %s" % (self.kind, exc)) from exc


def encode(kind: int, payload: bytes = b"", rank: int = 0, offset: int = 0) -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(kind, rank, offset, len(payload)) + payload


def encode_json(kind: int, message: Any, rank: int = 0) -> bytes:
    """Return the bytes of one control message; `message` is anything JSON can hold."""
    return encode(kind, json.dumps(message).encode("utf-8"), rank)


class Decoder:
    """Turn a stream of bytes into frames.

    Args:
        marker: wait for `MARKER` first and collect what precedes it in `greeting`.
    """

    def __init__(self, marker: bool = False) -> None:
        self._buffer = bytearray()
        self._waiting = marker
        self.greeting = b""

    @property
    def synchronised(self) -> bool:
        """Whether the marker has been seen, that is, whether a supervisor of ours is talking."""
        return not self._waiting

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, return the frames they complete.

        Raises:
            WireError: a length no honest peer sends, or a greeting without end.
        """
        self._buffer += data
        if self._waiting and not self._skip_greeting():
            return []
        return self._frames()

    def _skip_greeting(self) -> bool:
        at = self._buffer.find(MARKER)
        if at < 0:
            self.greeting = bytes(self._buffer[-MAX_GREETING:])
            if len(self._buffer) > 64 * MAX_GREETING:
                raise WireError("the login shell prints without end")
            return False
        self.greeting = bytes(self._buffer[:at][-MAX_GREETING:])
        del self._buffer[: at + len(MARKER)]
        self._waiting = False
        return True

    def _frames(self) -> list[Frame]:
        frames = []
        at, size = 0, len(self._buffer)
        view = memoryview(self._buffer)
        try:
            while size - at >= HEADER.size:
                kind, rank, offset, length = HEADER.unpack_from(view, at)
                if length > MAX_PAYLOAD:
                    raise WireError("a frame of %d bytes: the stream is damaged" % length)
                end = at + HEADER.size + length
                if end > size:
                    break
                frames.append(Frame(kind, bytes(view[at + HEADER.size : end]), rank, offset))
                at = end
        finally:
            view.release()
        del self._buffer[:at]
        return frames

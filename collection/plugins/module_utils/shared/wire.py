# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frames of the connection between controller and host. Bytes in, frames out; no file, process or clock.

Both ends use this one file: the controller imports it, a host receives its source over the connection.
It therefore needs nothing beyond Python 3.9's standard library.

A frame is a header (kind, rank, offset, length) and that many bytes. Output travels as it is, control
messages as JSON. The bytes before `MARKER` are a login shell's greeting and are set aside.
"""

from __future__ import annotations

import struct

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json

TYPE_CHECKING = False  # to import typing would cost every host a hundredth of a second
if TYPE_CHECKING:
    from typing import Any

# A shell that echoes its command line cannot produce this: an argument never contains a NUL byte.
MARKER = b"\n\0mlxlaunch 1\0\n"

HEADER = struct.Struct("!BHQI")
MAX_PAYLOAD = 64 * 1024 * 1024
MOST_OF_HOST = 1024 * 1024  # bytes of a frame from a host, which is not trusted; output comes in smaller pieces
MAX_GREETING = 256 * 1024

# host to controller
READY = 1  # facts about the host: it can start its ranks
REFUSED = 2  # the problems of the host
STARTED = 3  # a rank's process id
STDOUT = 4  # a rank's bytes, at `offset` of its stdout
STDERR = 5
EXITED = 6  # how a rank ended
WARNING = 7  # a text for a person
DONE = 8  # no process of the job runs here any more; those that could not be ended (JSON: remaining, names by process id)
PONG = 9
WANTED = 50  # mpirun's request to run a command on another host (JSON: id, host, words)
SAID = 51  # output of mpirun or its daemon (JSON: name, text)
EXITED_SERVICE = 52  # how mpirun or its daemon ended (JSON: name, code, signal, error)
# controller to host
SPEC = 20  # the specification of the host: a HostSpec, or a RecoverySpec (JSON)
GO = 21  # start; the decisions that needed all hosts to be ready (JSON), or nothing
STOP = 22  # TERM, grace, KILL
KILL = 23  # KILL at once
PING = 24
ACK = 25  # everything of `rank` below `offset` is safe on the controller (JSON: stream)
BYE = 26  # all received: forget the job
DAEMON = 60  # start mpirun's daemon (JSON: argv, env)
ANSWER = 61  # to WANTED (JSON: id, code)
# controller and agent, when something is deployed or checked
CALL = 30  # a function and its arguments (JSON: do, with)
REPLY = 31  # its result (JSON: result), or the reason for none (JSON: error)
PROGRESS = 32  # its progress (JSON: text)
# launching process and worker, over the job's private socket
EVENT = 40
HANDED = 75  # to the worker: a process that reaches a host already, with HANDED_FDS descriptors (JSON: argv, pid, sent)
HANDED_FDS = 4  # its standard input, output and errors, and one from which its exit status can be read
# standard input, from the launching process over the worker to a host
STDIN = 70  # bytes for `rank`
STDIN_END = 71  # no more of them
SCREEN = 72  # the size of the terminal that `rank` has (JSON: columns, lines)
# and back
CREDIT = 73  # `rank` may be sent bytes up to `offset`, counted from its first
READERS = 74  # from the worker: the ranks that have a standard input (JSON: ranks, tty)

EVERY_RANK = 0xFFFF  # as the rank of a frame: all that have a standard input on the host
WINDOW = 1024 * 1024  # bytes of a standard input that may be under way to a rank
UNLIMITED = 2**64 - 1  # the credit of a standard input that nobody reads any more: all bytes are dropped


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
            return plain_json.loads(self.payload.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise WireError("frame of kind %d does not hold JSON: %s" % (self.kind, exc)) from exc


def encode(kind: int, payload: bytes = b"", rank: int = 0, offset: int = 0) -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(kind, rank, offset, len(payload)) + payload


def encode_json(kind: int, message: Any, rank: int = 0) -> bytes:
    """Return the bytes of one control message; `message` is anything JSON can hold."""
    return encode(kind, plain_json.dumps(message).encode("utf-8"), rank)


class Decoder:
    """Turn a stream of bytes into frames.

    Args:
        marker: wait for `MARKER` first and collect what precedes it in `greeting`.
        most: bytes of the largest payload.

    Attributes:
        most: as above; may be changed at any time.
    """

    def __init__(self, marker: bool = False, most: int = MAX_PAYLOAD) -> None:
        self.most = most
        self._buffer = bytearray()
        self._waiting = marker
        self._greeted = 0  # bytes of the greeting that are not kept
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
            self._greeted += max(0, len(self._buffer) - MAX_GREETING)
            del self._buffer[:-MAX_GREETING]
            self.greeting = bytes(self._buffer)
            if self._greeted + len(self._buffer) > 64 * MAX_GREETING:
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
                if length > self.most:
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

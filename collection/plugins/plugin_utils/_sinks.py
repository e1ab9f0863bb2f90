# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: where a job's events and output go.

A sink takes events and output and never waits: what its reader does not take yet stands in a queue, and
`backlog` tells the gang to leave further output where it is, on the hosts.
"""

from __future__ import annotations

import codecs
import json
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..module_utils import _wire as wire
from ._merge import LineMerger, split_lines

STREAM_NAMES = {wire.STDOUT: "stdout", wire.STDERR: "stderr"}
BACKLOG = 4 * 1024 * 1024


class Sink(Protocol):
    """What the gang asks of a place that output goes to."""

    def event(self, event: dict[str, Any]) -> None:
        """Take one event other than output."""

    def output(self, event: dict[str, Any], data: bytes) -> None:
        """Take a rank's bytes; `event` is their rank_output event."""

    def tick(self, now: float) -> None:
        """Do what is due at `now`, monotonic seconds."""

    def deadline(self) -> float | None:
        """Return when `tick` is due, or None."""

    @property
    def backlog(self) -> int:
        """Bytes its reader has not taken yet."""

    @property
    def broken(self) -> bool:
        """Whether its reader is gone."""

    def close(self) -> None:
        """Deliver what is left, for as long as its reader takes it."""


class Writer:
    """A thread that writes to something that may block, and says when it has caught up.

    Args:
        write: takes bytes and returns when all are written; OSError means the reader is gone.
        wake: called after bytes were written, from the thread.
    """

    def __init__(self, write: Callable[[bytes], None], wake: Callable[[], None]) -> None:
        self._write = write
        self._wake = wake
        self._queue: deque[bytes] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._behind_since = 0.0
        self._behind = 0.0
        self.size = 0
        self.broken = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Queue bytes."""
        if not data or self.broken:
            return
        with self._ready:
            if not self.size:
                self._behind_since = time.monotonic()
            self._queue.append(data)
            self.size += len(data)
            self._ready.notify()

    def behind(self) -> float:
        """Return for how many seconds since the last call there was something its reader had not taken."""
        with self._ready:
            now = time.monotonic()
            seconds = self._behind + (now - self._behind_since if self.size else 0.0)
            self._behind, self._behind_since = 0.0, now
            return seconds

    def close(self, patience: float = 60.0) -> None:
        """Write what is queued, waiting up to `patience` seconds for a reader that takes nothing."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closing:
                    self._ready.wait()
                if not self._queue:
                    return
                data = b"".join(self._queue)
                self._queue.clear()
            try:
                self._write(data)
            except OSError:
                self.broken = True
            with self._ready:
                self.size -= len(data)
                if self.broken:
                    self._queue.clear()
                    self.size = 0
                if not self.size:
                    self._behind += time.monotonic() - self._behind_since
            self._wake()
            if self.broken:
                return


def _as_bytes(text: str) -> bytes:
    """Return text as bytes; a path that is not UTF-8 comes out as it was."""
    return text.encode("utf-8", "surrogateescape")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another program has made this terminal non-blocking
            select.select([], [fd], [])


class TerminalSink:
    """The launching process's own standard output and error.

    A line is broken for another that has waited, but not while the reader is behind: nobody would see the other any
    sooner, and output, with it the rest of the line, stays on the hosts as long.

    Args:
        fds: (stdout, stderr).
        describe: gives the text to print on stderr for an event, or None.
        prefix: gives the bytes before each line of (rank, stream); None for none.
        wake: see `Writer`.
    """

    def __init__(
        self,
        fds: tuple[int, int],
        describe: Callable[[dict[str, Any]], str | None],
        prefix: Callable[[Any], bytes] | None,
        wake: Callable[[], None],
    ) -> None:
        self._describe = describe
        # One place on a terminal, two when they are redirected apart: only what is seen side by side is put in order.
        places = fds[:1] if _same_place(*fds) else fds
        self._places = [(Writer(partial(_write_all, fd), wake), LineMerger(prefix)) for fd in places]

    def break_lines_by(self, newline: bytes) -> None:
        """Break a line that a source leaves open by this: on a terminal that is raw, a newline alone does not go back to the left."""
        for _writer, merger in self._places:
            merger.newline = newline

    def event(self, event: dict[str, Any]) -> None:
        text = self._describe(event)
        if text:
            self._feed(1, ("launch", 1), _as_bytes(text) + b"\n")

    def output(self, event: dict[str, Any], data: bytes) -> None:
        at = 0 if event["stream"] == "stdout" else 1
        self._feed(at, (event["rank"], at), data)

    def _feed(self, at: int, source: Any, data: bytes) -> None:
        writer, merger = self._places[min(at, len(self._places) - 1)]
        merger.postpone(writer.behind())
        writer.put(merger.feed(source, data, time.monotonic()))

    def tick(self, now: float) -> None:
        for writer, merger in self._places:
            merger.postpone(writer.behind())
            writer.put(merger.tick(now))

    def deadline(self) -> float | None:
        times = []
        for writer, merger in self._places:
            merger.postpone(writer.behind())
            due = merger.deadline()
            if due is not None:
                # It moves on as long as the reader is behind; there is no use in running after it.
                times.append(max(due, time.monotonic() + merger.hold) if writer.size else due)
        return min(times, default=None)

    @property
    def backlog(self) -> int:
        # What waits for the end of a line may do so for as long as the reader is behind; it must not grow all that time.
        return sum(writer.size + merger.waiting for writer, merger in self._places if writer.size)

    @property
    def broken(self) -> bool:
        return any(writer.broken for writer, _merger in self._places)

    def close(self) -> None:
        for writer, merger in self._places:
            writer.put(merger.finish())
            writer.close()


def _same_place(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


class DisplaySink:
    """Ansible's own display, for whichever stdout callback is in use. It takes text, so bytes that are none are replaced.

    Args:
        show: `Display().display`, called with text, stderr and newline.
        describe, prefix: as for `TerminalSink`.
        whole_lines: give complete lines only, for a display that ends each piece it is given with a newline.
    """

    broken = False
    backlog = 0

    def __init__(
        self,
        show: Callable[..., None],
        describe: Callable[[dict[str, Any]], str | None],
        prefix: Callable[[Any], bytes] | None,
        *,
        whole_lines: bool = False,
    ) -> None:
        self._show = show
        self._describe = describe
        self._whole_lines = whole_lines
        self._line = b""
        self._merger = LineMerger(prefix)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def event(self, event: dict[str, Any]) -> None:
        text = self._describe(event)
        if text:
            self._put(self._merger.feed(("launch", 1), _as_bytes(text) + b"\n", time.monotonic()))

    def output(self, event: dict[str, Any], data: bytes) -> None:
        self._put(self._merger.feed((event["rank"], event["stream"]), data, time.monotonic()))

    def _put(self, data: bytes, final: bool = False) -> None:
        if self._whole_lines and not final:
            data, self._line = split_lines(self._line + data)
        text = self._decoder.decode(data, final)
        if text:
            began = time.monotonic()
            self._show(text, newline=False)
            self._merger.postpone(time.monotonic() - began)

    def tick(self, now: float) -> None:
        self._put(self._merger.tick(now))

    def deadline(self) -> float | None:
        return self._merger.deadline()

    def close(self) -> None:
        self._put(self._line + self._merger.finish(), final=True)


class SocketSink:
    """The job's private socket, at whose other end the process that called `start_job` reads.

    Args:
        connection: connected, blocking.
        wake: see `Writer`.
    """

    def __init__(self, connection: socket.socket, wake: Callable[[], None]) -> None:
        self._writer = Writer(connection.sendall, wake)

    def forward(self, frame: bytes) -> None:
        """Take what is meant for the launching process itself."""
        self._writer.put(frame)

    def event(self, event: dict[str, Any]) -> None:
        self._writer.put(wire.encode_json(wire.EVENT, event))

    def output(self, event: dict[str, Any], data: bytes) -> None:
        # The event without its bytes first, then the bytes as they are.
        self._writer.put(wire.encode_json(wire.EVENT, event) + wire.encode(_KINDS[event["stream"]], data, event["rank"], event["offset"]))

    def tick(self, now: float) -> None:
        pass

    def deadline(self) -> float | None:
        return None

    @property
    def backlog(self) -> int:
        return self._writer.size

    @property
    def broken(self) -> bool:
        return self._writer.broken

    def close(self) -> None:
        self._writer.close()


_KINDS = {name: kind for kind, name in STREAM_NAMES.items()}


class RunDir:
    """The record of a job on the controller: `events.jsonl`, `job.json`, and `<rank>/stdout.log`, `<rank>/stderr.log`.

    A rank_output event tells where in a log its bytes are, not what they are: a day of output is on disk once.
    """

    broken = False
    backlog = 0

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, mode=0o700)
        self.path = path
        self._logs: dict[tuple[int, str], int] = {}
        self._events = os.open(path / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        self.failed: OSError | None = None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Add a JSON file."""
        try:
            fd = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as out:
                json.dump(content, out, indent=1, ensure_ascii=False)
        except OSError as exc:
            self.failed = self.failed or exc

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "rank_started":
            self._open_logs(event["rank"])
        # What is not UTF-8, a path perhaps, stands there as JSON's escape of a lone surrogate.
        self._try(self._events, json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")

    def output(self, event: dict[str, Any], data: bytes) -> None:
        if (event["rank"], event["stream"]) not in self._logs:
            self._open_logs(event["rank"])
        self._try(self._logs.get((event["rank"], event["stream"]), -1), data)
        self.event(event)

    def log(self, rank: int, stream: str) -> Path:
        """Return the path of one stream's log."""
        return log_path(self.path, rank, stream)

    def _open_logs(self, rank: int) -> None:
        folder = self.path / str(rank)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for stream in STREAM_NAMES.values():
                self._logs[rank, stream] = os.open(folder / f"{stream}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as exc:
            self.failed = self.failed or exc

    def _try(self, fd: int, data: bytes) -> None:
        """Write; a record that cannot be written must not end a job that runs well."""
        try:
            _write_all(fd, data)
        except OSError as exc:
            self.failed = self.failed or exc

    def tick(self, now: float) -> None:
        pass

    def deadline(self) -> float | None:
        return None

    def close(self) -> None:
        for fd in (self._events, *self._logs.values()):
            os.close(fd)
        self._logs.clear()


def log_path(run_dir: Path, rank: int, stream: str) -> Path:
    """Return where the log of a rank's stream is in a run directory."""
    return run_dir / str(rank) / f"{stream}.log"


def default_log_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory that gets one run directory per job: in the user's state directory (XDG base directories)."""
    state = (os.environ if environ is None else environ).get("XDG_STATE_HOME", "")
    # A relative path there is to be ignored, says the specification.
    return (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "mlxlaunch" / "runs"

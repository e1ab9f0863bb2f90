# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a job on the controller as a sink."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...module_utils.shared import folders
from ..job.errors import UsageError
from ..job.events import NOT_RECORDED, Event
from ..job.settings import BY_NAME
from .escape import json_text
from .record.files import RecordFiles
from .record.writer import EVENTS, Item, Mark, RecordWriter, log_name
from .sinks import STREAM_NAMES, Sink

#: Seconds that the end of a job waits for a disk that takes nothing.
PATIENCE = 60.0
_SLOW = 5.0  # seconds in which nothing is written, before a person is told
_QUIET = 30.0  # seconds between two reports of trouble
_LOOK = 1.0  # seconds between two looks at whether it is over
_NAMED = 8  # streams named in one text


class RunDir(Sink):
    """The record of a job on the controller: `events.jsonl`, `job.json`, and `<rank>/stdout.log`, `<rank>/stderr.log`.

    A rank_output event names the place of its bytes in a log, not the bytes: a day of output is on disk once. One
    event covers the output of a stream for a second or more.

    A thread writes all of it. When the disk is full or hangs, the rest stands in a queue, and `backlog` makes the gang
    leave output on the hosts until there is room. Once the job ends, that is waited for a limited time.

    Args:
        path: the run directory, which must not exist yet.
        wake: called, from another thread, when there is news.
        clock: monotonic seconds.

    Attributes:
        path: the run directory.
    """

    def __init__(self, path: Path, wake: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic) -> None:
        folders.make_folders(str(path.parent), folders.PRIVATE)  # or else another user could put a directory in the place of one of ours
        path.mkdir(mode=0o700)
        self.path = path
        self._clock = clock
        # Held as long as the job runs: its record is not to be removed.
        self._lock = os.open(path / EVENTS, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._writer = RecordWriter(RecordFiles(path), wake, clock)
        self._ending = False
        self._reported = ""  # name of the file that a person was told of
        self._quiet_until = 0.0
        self._closed = False

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, in place of an earlier one of that name: hosts may decide on other ports than planned."""
        self._writer.put(Item(name=name, content=json_text(content, 1).encode()))

    def event(self, event: Event) -> None:
        if event.event in NOT_RECORDED:
            return
        self._ending = self._ending or event.event == "job_stopping"
        logs = [log_name(event.rank, stream) for stream in STREAM_NAMES.values()] if event.event == "rank_started" else ()
        self._writer.put(Item(event, logs=logs))

    def output(self, event: Event, payload: bytes) -> None:
        self._writer.put(Item(event, payload))

    def log(self, rank: int, stream: str) -> Path:
        """Return the path of one stream's log."""
        return log_path(self.path, rank, stream)

    # -- for those who read it while it is written

    def mark(self) -> Mark:
        """Return the place that the record has come to; it gets its position when everything before it is written."""
        mark = Mark()
        self._writer.put(Item(mark=mark))
        return mark

    @property
    def given_up(self) -> bool:
        """Whether nothing more will be written."""
        return self._writer.given_up.is_set()

    @property
    def hangs(self) -> bool:
        """Whether it was given up because the file system does not answer."""
        return self.given_up and self._writer.trouble is None

    # -- for the gang

    @property
    def backlog(self) -> int:
        return self._writer.size if not self.given_up else 0

    def safe(self) -> list[tuple[int, str, int]]:
        streams = {self._writer.safe.popleft() for _each in range(len(self._writer.safe))}
        return [(*stream, self._writer.streams[stream].safe) for stream in sorted(streams)]

    def warnings(self) -> list[str]:
        now, trouble = self._clock(), self._writer.trouble
        if self.given_up:
            return []
        if not trouble and not self._stalls(now):
            name, self._reported = self._reported, ""
            return [f"{self.path / name} can be written again"] if name else []
        if self._reported or now < self._quiet_until:
            return []
        self._reported, self._quiet_until = trouble.name if trouble else EVENTS, now + _QUIET
        then = "the job goes on, and its output stays on the hosts until this is over"
        return [f"cannot write {self.path / self._reported}: {_reason([trouble.error] if trouble else [])}; {then}"]

    def tick(self, now: float) -> None:
        if self._ending and self._writer.behind and now >= self._writer.moved + PATIENCE:
            self._writer.give_up()

    def deadline(self) -> float | None:
        if self.given_up or not (self._writer.behind or self._reported):
            return None
        if self._reported:
            return self._clock() + _LOOK
        return max(self._writer.moved + _SLOW, self._quiet_until)

    def _stalls(self, now: float) -> bool:
        return self._writer.behind and now >= self._writer.moved + _SLOW

    # -- the end

    def settle(self, seconds: float) -> bool:
        """Wait so many seconds for the disk; return whether everything is written, or is given up by now."""
        self._ending = True
        settled = self._writer.wait(seconds)
        if not settled:
            self.tick(self._clock())
        return self.given_up or settled

    def missing(self) -> str:
        """Return the reason why the record is not complete, with the offsets of the output that it lacks; else ""."""
        gaps = []
        errors: list[OSError] = [self._writer.trouble.error] if self._writer.trouble else []
        for (rank, stream), progress in sorted(self._writer.streams.items()):
            start = progress.safe if progress.unsafe else progress.written
            if start < progress.given:
                gaps.append(f"rank {rank} {stream} from byte {start} to {progress.given}")
                errors += [progress.unsafe] if progress.unsafe else []
        if not gaps and not self.given_up:
            return ""
        more = f" and {len(gaps) - _NAMED} more streams" if len(gaps) > _NAMED else ""
        return f"{_reason(errors)}; lost: {', '.join(gaps[:_NAMED]) or 'events'}{more}"

    def close(self) -> None:
        self._writer.close(PATIENCE)
        if not self._closed:
            self._closed = True
            os.close(self._lock)


def _reason(errors: Sequence[OSError]) -> str:
    return str(errors[0].strerror or errors[0]) if errors else "the file system does not answer"


def log_path(run_dir: Path, rank: int, stream: str) -> Path:
    """Return the path of a rank's log in a run directory."""
    return run_dir / log_name(rank, stream)


def default_log_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the parent of all run directories, in the user's state directory (XDG base directories)."""
    state = (os.environ if environ is None else environ).get("XDG_STATE_HOME", "")
    if state.startswith("/"):  # the specification wants a relative path there ignored
        return Path(state, "mlxlaunch", "runs")
    try:
        return Path.home() / ".local" / "state" / "mlxlaunch" / "runs"
    except RuntimeError:
        raise UsageError(
            f"HOME is not set, and user {os.getuid()} has no home directory; set HOME, or say where with {BY_NAME['log_dir'].shown}"
        ) from None


def log_folder(log_dir: str) -> Path:
    """Return the parent of run directories that a setting names, or the usual one."""
    return Path(os.path.abspath(Path(log_dir).expanduser())) if log_dir else default_log_dir()

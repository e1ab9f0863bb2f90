# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run directories of earlier jobs: which there are, and which may go."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...job.ids import JOB_ID
from ..sinks import STREAM_NAMES
from .writer import EVENTS

#: Days after which a record goes, however few there are.
DAYS = 180
RUNNING, UNFINISHED = "running", "unfinished"
_SECOND = len("20260101-000000")
_OURS = {EVENTS, "job.json", ".job.json.new"}
_LOGS = {f"{name}.log" for name in STREAM_NAMES.values()}
_LAST = 1024 * 1024  # bytes at the end of events.jsonl that hold its last line


@dataclass(frozen=True)
class Run:
    """The record of one job.

    Attributes:
        path: its run directory, whose name is the job's id.
        state: RUNNING, UNFINISHED when its launcher was killed, or the exit status.
        message: one line about its end, or "".
        size: bytes on the disk.
    """

    path: Path
    state: str
    message: str
    size: int


def run_dirs(base: Path) -> list[Path]:
    """Return the run directories in a directory, the newest one first."""
    ages = []
    with contextlib.suppress(FileNotFoundError):
        for entry in _entries(base):
            if JOB_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # another job has just removed it
                    # An id tells the second; of jobs that began in the same one, the directory tells.
                    ages.append((entry.name[:_SECOND], entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    return [base / name for _second, _mtime, name in sorted(ages, reverse=True)]


def run_of(path: Path) -> Run:
    """Return what a run directory says about its job."""
    last = _last_event(path)
    running = not _is_free(path)
    state = RUNNING if running else str(last["returncode"]) if last.get("event") == "job_finished" else UNFINISHED
    return Run(path, state, "" if running else str(last.get("message", "")), _size(path))


def prune(base: Path, keep: int, now: float | None = None) -> list[Path]:
    """Remove the records of old jobs, and return their directories.

    The newest ones stay, unless they are older than `DAYS`. So do the record of a job that runs, and a directory that
    is another user's or holds anything but a record.

    Args:
        base: the parent of run directories.
        keep: the number of those that stay; 0 for all, whatever their age.
        now: seconds since 1970.
    """
    oldest = time.strftime("%Y%m%d-%H%M%S", time.localtime((time.time() if now is None else now) - DAYS * 86400))
    gone = []
    for at, path in enumerate(run_dirs(base) if keep else ()):
        if at < keep and path.name >= oldest:
            continue
        with contextlib.suppress(OSError):
            if _remove(path):
                gone.append(path)
    return gone


def _remove(path: Path) -> bool:
    """Remove a record; return False for anything else. Its events go last: without them it would be nobody's."""
    with _held(path) as free:
        files = _files(path) if free else None
        if files is None:
            return False
        for file in files:
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in files} - {path}:
            folder.rmdir()
        (path / EVENTS).unlink()
        path.rmdir()
    return True


def _files(path: Path) -> list[Path] | None:
    """Return the files of a record but its events; None when there is anything else, or it is another user's."""
    if path.stat(follow_symlinks=False).st_uid != os.geteuid():
        return None
    found = []
    for entry in _entries(path):
        if entry.is_dir(follow_symlinks=False) and entry.name.isdecimal():
            inside = _entries(entry.path)
            if any(log.name not in _LOGS or not log.is_file(follow_symlinks=False) for log in inside):
                return None
            found += [Path(log.path) for log in inside]
        elif entry.name not in _OURS or not entry.is_file(follow_symlinks=False):
            return None
        elif entry.name != EVENTS:
            found.append(Path(entry.path))
    return found


def _entries(path: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return list(entries)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold the lock that a job has on its record; provide whether nobody else holds it and there is a record at all."""
    try:
        fd = os.open(path / EVENTS, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield stat.S_ISREG(os.fstat(fd).st_mode) and _lock(fd) and _is_of(fd, path.name)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_of(fd: int, job: str) -> bool:
    """Return whether these are events of the job, as far as there are any."""
    line = os.pread(fd, 4096, 0).partition(b"\n")[0]
    return not line or f'"job": "{job}"'.encode() in line


def _is_free(path: Path) -> bool:
    try:
        fd = os.open(path / EVENTS, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _lock(fd)
    finally:
        os.close(fd)


def _last_event(path: Path) -> dict[str, Any]:
    try:
        with (path / EVENTS).open("rb") as events:
            events.seek(max(0, events.seek(0, os.SEEK_END) - _LAST))
            last = json.loads(events.read().rstrip(b"\n").rpartition(b"\n")[2])
    except (OSError, ValueError):
        return {}
    return last if isinstance(last, dict) else {}


def _size(path: Path) -> int:
    return sum(file.stat(follow_symlinks=False).st_size for file in path.rglob("*") if file.is_file())

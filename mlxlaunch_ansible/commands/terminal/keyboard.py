# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard input of this process, a terminal or not, sent to a job as fast as its hosts have room for it."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import signal
import stat
import termios
import threading
import tty
from types import TracebackType
from typing import Any, Self

from ..._job import Job

CHUNK = 64 * 1024
_EVERY = 0.5  # seconds between looks whether a background job has come to the foreground
_QUIT = b"\x1c"  # Ctrl-\


def has_something(fd: int = 0) -> bool:
    """Return whether a standard input is there to be read: a terminal, or a file or pipe that is not at its end."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return os.lseek(fd, 0, os.SEEK_CUR) < os.fstat(fd).st_size
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return not select.select([fd], [], [], 0)[0] or _waiting(fd) > 0
        return os.isatty(fd)
    except OSError:
        return False


def _waiting(fd: int) -> int:
    """Return the number of bytes in a pipe or socket; 0 in one that is ready to be read means its end."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


class Keyboard:
    """Send standard input to a job, in a thread, while entered.

    Nothing is read before there is room for it, nor while this is a background job of its terminal, which would stop
    it. A rank that has a terminal gets every key: ours is raw then, until `release`. Ctrl-\\ counts as Ctrl-C does
    otherwise.

    Args:
        job: the job.
        fd: the descriptor to read; its flags stay as they are, as others may share it.
    """

    def __init__(self, job: Job, fd: int = 0) -> None:
        self._job = job
        self._fd = fd
        self._terminal = os.isatty(fd)
        self._lock = threading.Lock()
        self._before: list[Any] | None = None  # how the terminal was
        self._released = False
        self._read_end, self._write_end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="mlxlaunch-stdin", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
        os.write(self._write_end, b"x")
        self._thread.join(1.0)  # it may hang in a read when another process was quicker to take what there was

    @property
    def raw(self) -> bool:
        """Whether our terminal leaves everything to a rank, the meaning of a newline too."""
        return self._before is not None

    def release(self) -> None:
        """Restore the terminal; from now on Ctrl-C is for this process again."""
        with self._lock:
            self._released = True
            before, self._before = self._before, None
            if before and self._in_foreground():
                _set(self._fd, before)

    def _run(self) -> None:
        # Instead of stopping this process, a read or change of the terminal from the background then fails, or is allowed.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
        while room := self._job.stdin_room():
            data = self._read(min(room, CHUNK))
            if data is None:
                return
            if not data:
                self._job.close_stdin()
                return
            self._job.write(self._without_quit(data) if self.raw else data)

    def _read(self, size: int) -> bytes | None:
        """Return the next bytes, b"" at the end, or None when nobody wants them any more."""
        while True:
            mine = self._in_foreground()
            if mine:
                self._take_over()
            ready = select.select([self._read_end, self._fd] if mine else [self._read_end], [], [], None if mine else _EVERY)[0]
            if self._read_end in ready:
                return None
            if self._fd in ready and not self._job.stdin_room():
                return None  # nobody reads any more: it is for whoever reads this after us
            if self._fd in ready and self._in_foreground():
                try:
                    return os.read(self._fd, size)
                except BlockingIOError:
                    continue  # it was made so by somebody else, and somebody else has taken what there was
                except OSError as exc:
                    if exc.errno != errno.EIO or self._in_foreground():
                        return b""

    def _in_foreground(self) -> bool:
        if not self._terminal:
            return True
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True  # not the terminal that controls this process: reading it stops nobody

    def _take_over(self) -> None:
        """Make the terminal raw, when a rank with a terminal will get the keys."""
        with self._lock:
            if self._terminal and self._job.tty_rank is not None and not self._released and self._before is None:
                self._before = termios.tcgetattr(self._fd)
                tty.setraw(self._fd, termios.TCSANOW)

    def _without_quit(self, data: bytes) -> bytes:
        at = data.find(_QUIT)
        if at < 0:
            return data
        os.kill(os.getpid(), signal.SIGINT)
        return data[:at]


def _set(fd: int, attributes: list[Any]) -> None:
    with contextlib.suppress(termios.error):  # it is gone
        termios.tcsetattr(fd, termios.TCSANOW, attributes)

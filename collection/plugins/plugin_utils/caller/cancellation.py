# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of a request to end the work: signals, the launching program, ansible-playbook."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

from ...module_utils.lead.collaborators import StopRequest
from ...module_utils.lead.outcome import Cause
from ...module_utils.lead.rank_end import signal_name
from ...module_utils.shared import wire
from ...module_utils.shared.exit_status import EXIT_TIMEOUT
from .orphan_guard import end_of_parent, parent_of_worker

# Ansible sends the last one to a task that has had its time.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
_TASK_TIMEOUT = "the task has had its time (`timeout` of the task or play, or task_timeout in ansible.cfg)"
_WAKE = b"\0"  # no signal has this number


class ControlSocket(Protocol):
    """The socket to the launching program, as far as requests come over it; see `Control`."""

    def fileno(self) -> int:
        """Return the socket's descriptor."""

    def early(self) -> list[wire.Frame]:
        """Return the frames that came together with the settings."""

    def receive(self) -> list[wire.Frame] | None:
        """Return the frames that have come, or None when the other side is gone."""


@dataclass
class Watch:
    """Work that goes on in this thread while another one watches the sources.

    Attributes:
        cause: why the work was ended, or None.
        over: whether the work is over.
    """

    cause: Cause | None = None
    over: bool = False


class StopSources:
    """While entered, all requests to end the work, at one place. Enter it in the main thread, which has the signals.

    Args:
        control: the socket to the launching program, if there is one.
        parent: the process that must not end before this one; by default the parent it began with.
    """

    def __init__(self, control: ControlSocket | None = None, parent: int | None = None) -> None:
        self._control = control
        self._parent = parent_of_worker() if parent is None else parent
        self._selector = selectors.DefaultSelector()
        self._stack = contextlib.ExitStack()
        self._requests: list[StopRequest] = []
        self._input: list[wire.Frame] = []
        self._lock = threading.Lock()  # of the next two, which any thread may use
        self._wake_fd = -1
        self._woken = False

    def __enter__(self) -> Self:
        self._stack.callback(self._selector.close)
        self._open_pipe()
        self._take_signals()
        self._watch_for(self._stack.enter_context(end_of_parent(self._parent)), self._on_parent_gone)
        if self._control:
            self._sort(self._control.early())
            self._watch_for(self._control.fileno(), self._on_control)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable while something is pending."""
        # That of epoll(7) or kqueue(2), which can itself be waited for.
        return int(self._selector.fileno())

    def wake(self) -> None:
        """Make `fileno` readable once; safe from any thread, at any time."""
        with self._lock:
            if self._wake_fd >= 0 and not self._woken:
                self._woken = True
                os.write(self._wake_fd, _WAKE)

    def pending(self) -> list[StopRequest]:
        """Return the requests that have come since the last call."""
        return self._collect(0)

    def input(self) -> list[wire.Frame]:
        """Return the frames for ranks that have come since the last call, as far as `pending` has found them."""
        frames, self._input = self._input, []
        return frames

    @contextlib.contextmanager
    def watch(self, stop: Callable[[], None]) -> Iterator[Watch]:
        """While entered, call `stop` at the first request, from another thread; `cause` of the result is its reason."""
        watch = Watch()
        thread = threading.Thread(target=self._watch, args=(watch, stop), name="mlxlaunch-stop", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.over = True
            self.wake()
            thread.join()

    def _watch(self, watch: Watch, stop: Callable[[], None]) -> None:
        requests = self._collect(0)
        while True:
            if requests and watch.cause is None:
                watch.cause = requests[0].cause
                stop()
            self._input.clear()  # nothing here reads standard input
            if watch.over:
                return
            requests = self._collect(None)

    # -- the sources

    def _open_pipe(self) -> None:
        read, write = os.pipe()
        self._stack.callback(os.close, read)
        for fd in (read, write):
            os.set_blocking(fd, False)
        self._stack.callback(self._close_pipe)
        self._wake_fd = write
        self._watch_for(read, lambda: self._on_pipe(read))

    def _close_pipe(self) -> None:
        with self._lock:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def _take_signals(self) -> None:
        """Turn signals into requests. Ansible's own handlers would end this worker or task, and with it the grace."""
        # The handlers do nothing: the byte that the interpreter writes does. It also ends a wait of this thread
        # when the kernel gave the signal to another one.
        # One that is ignored stays so: nohup, or a script that started this in the background, wants it.
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, lambda *_args: None) for number in heard}
        for number, handler in before.items():
            self._stack.callback(signal.signal, number, handler)
        self._stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._wake_fd, warn_on_full_buffer=False))

    def _watch_for(self, fd: int, on_readable: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, on_readable)

    def _collect(self, timeout: float | None) -> list[StopRequest]:
        for key, _mask in self._selector.select(timeout):
            key.data()
        requests, self._requests = self._requests, []
        return requests

    def _on_pipe(self, read: int) -> None:
        numbers = b""
        # Both under the lock: a `wake` in between would have its byte read, and every later one would write none.
        with self._lock, contextlib.suppress(BlockingIOError):
            self._woken = False
            while data := os.read(read, 4096):
                numbers += data
        for number in numbers:
            if number in _SIGNALS:
                self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGALRM:
            self._request("timeout", EXIT_TIMEOUT, _TASK_TIMEOUT)
            return
        # Ctrl-C while the job is being ended means now. SIGTERM does not: Ansible sends one to a worker that is slow.
        self._request("interrupted", 128 + number, f"interrupted by {signal_name(number)}", kill_if_stopping=number == signal.SIGINT)

    def _on_parent_gone(self) -> None:
        self._forget(self._on_parent_gone)
        # What is being ended keeps its grace: a service manager sends SIGTERM to all processes at once, and Ansible is the first to go.
        self._request("launcher_gone", 128 + signal.SIGTERM, "ansible-playbook is gone")

    def _on_control(self) -> None:
        frames = self._control.receive() if self._control else None
        if frames is None:
            self._forget(self._on_control)
            self._request("launcher_gone", 128 + signal.SIGTERM, "the process that launched the job is gone")
        else:
            self._sort(frames)

    def _sort(self, frames: Iterable[wire.Frame]) -> None:
        for frame in frames:
            if frame.kind in (wire.STOP, wire.KILL):
                given = frame.json()
                self._request("interrupted", given["returncode"], given["message"], kill=frame.kind == wire.KILL)
            elif frame.kind in (wire.STDIN, wire.STDIN_END, wire.SCREEN):
                self._input.append(frame)

    def _forget(self, on_readable: Callable[[], None]) -> None:
        """Stop watching a source that has come to its end, and would be readable for ever."""
        for key in list(self._selector.get_map().values()):
            if key.data == on_readable:
                self._selector.unregister(key.fileobj)

    def _request(self, kind: str, returncode: int, message: str, **how: Any) -> None:
        self._requests.append(StopRequest(Cause(kind, returncode, message), **how))

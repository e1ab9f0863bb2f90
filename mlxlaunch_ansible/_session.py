# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with Ansible: one playbook, the worker that runs a job in it, and the events of that job."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

from ._core import LaunchError, UsageError, wire
from ._inventory import Source
from ._request import JobRequest
from ._result import Event
from ._runner import PlaybookRun, private_folder
from ._streams.buffer import EventBuffer
from ._streams.stdin_window import StdinSender
from ._worker import WorkerLink, events_in

_AFTERMATH = 30.0  # seconds that Ansible may take to end after its worker
_REMOVALS = 20  # more than ansible-runner writes files
_SOCKET = "s"  # in the session's private directory

#: The last event of a job, a dry run, a deploy, a check, a look at the network, a preparation and a first contact.
FINAL = ("job_finished", "job_planned", "deploy_finished", "check_finished", "network_finished", "prepare_finished", "contact_finished")

# States: not started; Ansible starts, no host is asked yet; the worker runs the job; nothing is left.
NEW, WAITING, CONNECTED, OVER = "new", "waiting for its worker", "connected", "over"
_NEXT = MappingProxyType(
    {
        (NEW, "start"): WAITING,
        (WAITING, "worker connected"): CONNECTED,
        (WAITING, "end"): OVER,
        (CONNECTED, "end"): OVER,
    }
)


#: Private directories of sessions that have not ended. They are this process's, and no child's of a fork.
_FOLDERS: set[Path] = set()
os.register_at_fork(after_in_child=_FOLDERS.clear)


@atexit.register
def _remove_folders() -> None:
    """Remove what sessions leave in a program that ends before they do."""
    for folder in tuple(_FOLDERS):
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the directory of a session, again while ansible-runner is writing its last files there."""
    for _turn in range(_REMOVALS):
        if not folder.exists():
            break
        shutil.rmtree(folder, ignore_errors=True)
    _FOLDERS.discard(folder)


class Playbook(Protocol):
    """The part of `PlaybookRun` that a session needs."""

    def start(self, folder: Path, variables: dict[str, Any]) -> None:
        """Start Ansible."""

    def wait_until_started(self, timeout: float) -> None:
        """Wait, so many seconds at most, until Ansible's process has begun, or has ended."""

    def cancel(self) -> None:
        """Kill Ansible."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it has come."""

    def wait_for_processes(self, timeout: float) -> bool:
        """Wait until Ansible's processes are gone; return whether they are."""

    def explained(self, text: str) -> str:
        """Return the text of a failure with the user's names for inventories, and with what Ansible says of it."""

    def failure(self) -> LaunchError:
        """Return the error for a run that has come to nothing, with the reason that Ansible gave."""


@dataclass(frozen=True)
class Cancellation:
    """A request to end the job.

    Attributes:
        kind: wire.STOP, or wire.KILL for no grace.
        returncode: exit status of a job that ends by it.
        message: why, for the record.
    """

    kind: int
    returncode: int
    message: str

    def frame(self) -> bytes:
        """Return the frame that asks the worker."""
        return wire.encode_json(self.kind, {"returncode": self.returncode, "message": self.message})


class Session:
    """One run of a request. `start` starts it; each of the other methods may then be called from any thread.

    Large, as each step of a run has its short method, and each question that a caller may have.

    Args:
        request: the job.
        on_event: called for every event, in the session's thread; an exception it raises ends the job, and `wait`
            raises it.
        playbook: makes the run of a playbook from its name, the hosts' source, and a callable for its end.

    Raises:
        TypeError: the handler of events cannot be called, or is async.
    """

    def __init__(
        self,
        request: JobRequest,
        on_event: Callable[[Event], None] | None = None,
        *,
        playbook: Callable[[str, Source, Callable[[], None]], Playbook] = PlaybookRun,
    ) -> None:
        _check_handler(on_event)
        self.request = request
        self.buffer = EventBuffer()
        self._link = WorkerLink()
        self.stdin = StdinSender(self._link.send)
        self._on_event = on_event
        self._playbook = playbook(request.playbook, request.source, self._on_playbook_end)
        self._folder: Path | None = None
        self._changed = threading.Condition()
        self._state = NEW
        self._cancelled: Cancellation | None = None  # before the worker came
        self._last: Event | None = None
        self._error: BaseException | None = None

    def start(self, make_folder: Callable[[], Path] = private_folder) -> Self:
        """Start Ansible and return at once.

        Args:
            make_folder: makes a private directory for sockets; the session removes it.

        Raises:
            UsageError: a script is missing.
        """
        self.request.check_script()
        self._step("start")
        if self._on_event:
            self.buffer.allow_drop()
        self._folder = make_folder()
        _FOLDERS.add(self._folder)
        socket = self._folder / _SOCKET
        self._link.listen(socket)
        reader = threading.Thread(target=self._read, name="mlxlaunch-events", daemon=True)
        group = {} if self.request.group is None else {"mlx_group": self.request.group}
        self._playbook.start(self._folder, {"mlx_control": str(socket), **group})
        reader.start()
        return self

    # -- for the caller

    @property
    def over(self) -> bool:
        """Whether nothing of the job is left."""
        return self._state == OVER

    @property
    def cancelled_early(self) -> Cancellation | None:
        """The request that ended the job before its worker could report anything, or None."""
        return None if self._last else self._cancelled

    def cancel(self, cancellation: Cancellation) -> None:
        """End the job by its worker, or before that has come, by killing Ansible.

        It has no effect when the job is over.
        """
        with self._changed:
            if self._state == OVER:
                return  # the result stands
            if self._state != CONNECTED:
                self._cancelled = cancellation
                self._playbook.cancel()  # nothing runs on any host yet
                return
        self._link.send(cancellation.frame())

    def send(self, frame: bytes) -> None:
        """Send a frame to the worker, if it has come."""
        self._link.send(frame)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the job. Events that nobody iterates over are not kept from now on.

        Raises:
            TimeoutError: the job is not over yet.
            BaseException: that of the event handler.
        """
        if not self.wait_until_over(timeout):
            raise TimeoutError(f"job {self.request.job} is still running after {timeout:g} s")
        if self._error:
            raise self._error

    def wait_until_over(self, timeout: float | None = None) -> bool:
        """Wait for the end of the job, also a failure; return whether it has come."""
        self.buffer.allow_drop()
        with self._changed:
            return self._changed.wait_for(lambda: self.over, timeout)

    def last_event(self) -> Event:
        """Return the event that ended the job; call it after `wait`.

        Raises:
            UsageError: the worker refused inventory, hostfile or settings.
            LaunchError: the launch itself broke, or was cancelled before the worker came.
        """
        if self._last and self._last.event in FINAL:
            return self._last
        if self._last:
            told = self._last.details
            kind = UsageError if told["returncode"] == UsageError.returncode else LaunchError
            raise kind(self._playbook.explained(told["message"]))
        if self._cancelled:
            error = LaunchError(self._cancelled.message)
            error.returncode = self._cancelled.returncode
            raise error
        error = self._playbook.failure()
        # A worker that came and died is nobody's wrong usage, whatever Ansible says of it.
        raise LaunchError(str(error)) if self._link.connected and isinstance(error, UsageError) else error

    # -- in the session's thread

    def _read(self) -> None:
        try:
            if self._accept():
                for news in events_in(self._link.frames()):
                    if isinstance(news, Event):
                        self._deliver(news)
                    else:
                        self._obey(news)
        except BaseException as exc:  # noqa: BLE001 - a handler's, sys.exit() too, or a broken worker: either way the caller must know
            self._error = exc
            self.cancel(Cancellation(wire.STOP, 143, f"the event handler raised {type(exc).__name__}"))
            self._link.drain()
        finally:
            self._settle()

    def _accept(self) -> bool:
        """Wait for the worker, with connections begun meanwhile; return False when Ansible ended without one."""
        self._playbook.wait_until_started(_AFTERMATH)
        from ._early import EarlyConnections  # late: by now Ansible is on its way

        with EarlyConnections(self.request) as early:
            if not self._cancelled:
                early.begin()
            if not self._link.accept(early.welcome):
                return False
        with self._changed:
            self._step("worker connected")
            cancelled = self._cancelled
        if cancelled:
            self._link.send(cancelled.frame())
        return True

    def _deliver(self, event: Event) -> None:
        if event.event in (*FINAL, "job_refused"):
            self._last = event
        if event.event == "job_refused":
            return
        if self._on_event:
            self._on_event(event)
        self.buffer.put(event)

    def _obey(self, frame: wire.Frame) -> None:
        """Act on a frame that is no event."""
        if frame.kind not in _ON_FRAME:
            raise wire.WireError(f"the worker of job {self.request.job} sent a frame of kind {frame.kind}, which only others get")
        _ON_FRAME[frame.kind](self.stdin, frame)

    def _on_playbook_end(self) -> None:
        """Ansible has ended: its worker will not come any more, if it has not come yet."""
        if self._folder is None:
            return
        if self.over:
            self._remove_folder()  # ansible-runner may have written there once more
        else:
            self._link.wake(self._folder / _SOCKET)

    def _settle(self) -> None:
        self.stdin.on_end()
        finished = self._last and self._last.event in FINAL
        ended = self._playbook.wait_for_processes if finished else self._playbook.join
        if not ended(_AFTERMATH):
            self._playbook.cancel()
            self._playbook.join(_AFTERMATH)
        self._link.close()
        self._remove_folder()
        with self._changed:
            self._step("end")
            self._changed.notify_all()
        self.buffer.close()

    def _remove_folder(self) -> None:
        if self._folder:
            _remove(self._folder)

    def _step(self, event: str) -> None:
        if (self._state, event) not in _NEXT:
            raise RuntimeError(f"{event!r} does not fit a session that is {self._state}")
        self._state = _NEXT[self._state, event]


def _check_handler(on_event: object) -> None:
    """Raise TypeError for a handler of events that cannot be called, or whose calls nobody would await."""
    if on_event is None:
        return
    from inspect import iscoroutinefunction  # late: a command has no handler

    if not callable(on_event):
        raise TypeError(f"on_event: want a function that takes an event, not {on_event!r}")
    if iscoroutinefunction(on_event) or iscoroutinefunction(type(on_event).__call__):
        raise TypeError("on_event: want a function that is not async; it is called in a thread, where nobody would await it")


_ON_FRAME: MappingProxyType[int, Callable[[StdinSender, wire.Frame], None]] = MappingProxyType(
    {
        wire.READERS: lambda stdin, frame: stdin.on_readers(**frame.json()),
        wire.CREDIT: lambda stdin, frame: stdin.on_credit(frame.rank, frame.offset),
    }
)

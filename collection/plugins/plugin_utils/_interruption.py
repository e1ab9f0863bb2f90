# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: who may end work that goes on in threads, and that it ends then."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Any, Self

from ..module_utils import _wire as wire
from ._control import Control
from ._exits import signal_name
from ._policy import Cause

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EVERY = 0.2  # seconds between looks at the parent


class Interruption:
    """While entered: a signal, the death of ansible-playbook, or the wish or death of the launching program ends the work.

    Args:
        stop: ends the work, from another thread; called at most once.
        control: the job's private socket, when a program launched it.

    Attributes:
        cause: why the work was ended, or None.
    """

    def __init__(self, stop: Callable[[], None], control: Control | None = None) -> None:
        self.cause: Cause | None = None
        self._stop = stop
        self._control = control
        self._parent = os.getppid()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before: dict[int, Any] = {}
        self._thread = threading.Thread(target=self._watch, name="mlxlaunch-interruption", daemon=True)

    def __enter__(self) -> Self:
        # The handlers do nothing: the byte that the interpreter writes does. Ansible's own would end this worker at once.
        self._before = {number: signal.signal(number, lambda *_args: None) for number in _SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if self._control:
            for frame in self._control.early():
                self._obey(frame)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.write(self._write, b"\0")
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _watch(self) -> None:
        sources: list[Any] = [self._read, *([self._control.socket] if self._control else [])]
        while True:
            ready = select.select(sources, [], [], _EVERY)[0]
            if self._read in ready:
                for number in os.read(self._read, 64):
                    if number == 0:
                        return
                    self._end(Cause("interrupted", 128 + number, f"interrupted by {signal_name(number)}"))
            if self._control and self._control.socket in ready:
                frames = self._control.receive()
                if frames is None:
                    sources.remove(self._control.socket)
                    self._end(Cause("launcher_gone", 128 + signal.SIGTERM, "the process that launched the job is gone"))
                for frame in frames or ():
                    self._obey(frame)
            if os.getppid() != self._parent:
                self._end(Cause("launcher_gone", 128 + signal.SIGTERM, "ansible-playbook is gone"))

    def _obey(self, frame: wire.Frame) -> None:
        if frame.kind in (wire.STOP, wire.KILL):
            wish = frame.json()
            self._end(Cause("interrupted", wish["returncode"], wish["message"]))

    def _end(self, cause: Cause) -> None:
        if self.cause is None:
            self.cause = cause
            self._stop()

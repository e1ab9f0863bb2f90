# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket between the process that called `start_job` and the worker that runs the job.

It is a Unix socket in a directory of the user's own, not a network port. Down it come the settings, unchanged and never
templated, requests to stop, and standard input within its window. Up it go events, output, and changes of that window.
When either side dies the other reads its end.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...module_utils.shared import wire
from ..job.errors import LaunchError, UsageError
from ..job.events import Event
from ..job.version import VERSION, greeting, mismatch

PATIENCE = 30.0
_MOST_FDS = 64  # that can come with one message
# Prefix of the private directory with the socket. Short: see `private_folder` on the launching side.
FOLDER = "mlxlaunch-c-"


class Control:
    """The worker's end.

    Attributes:
        setup: the request of the launching process: settings, job, hostfile, terminal, term, default_cwd,
            default_python, default_stdin, environment, version, package.
        handed: processes that it has started for this one: what it tells of each, and descriptors.
    """

    def __init__(self, path: str) -> None:
        self._folder = Path(path).parent
        self._abandoned = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._decoder = wire.Decoder()
        self.setup: dict[str, Any] = {}
        self.handed: list[tuple[dict[str, Any], Sequence[int]]] = []
        self._early: list[wire.Frame] = []
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
            self.socket.sendall(wire.encode_json(wire.PING, greeting()))
            self._receive_first()
        except OSError as exc:
            self._abandoned = True
            self.close()
            raise LaunchError(f"the process that launched the job does not answer: {exc}") from None
        self.socket.settimeout(None)
        if self.setup.get("version") != VERSION:
            self._refuse_version()

    def _receive_first(self) -> None:
        """Take the settings, the processes that they announce, and the frames that come with them."""
        fds: list[int] = []
        while not self.setup or len(self.handed) < self.setup.get("handed", 0):
            data, new, _flags, _address = socket.recv_fds(self.socket, 65536, _MOST_FDS)
            if not data:
                raise ConnectionError("it is gone")
            fds += new
            for frame in self._decoder.feed(data):
                if frame.kind == wire.HANDED:
                    self.handed.append((frame.json(), fds[: wire.HANDED_FDS]))
                    del fds[: wire.HANDED_FDS]
                elif not self.setup:
                    self.setup = frame.json()
                else:
                    self._early.append(frame)

    def _refuse_version(self) -> None:
        setup = self.setup
        text = mismatch("mlxlaunch", setup.get("version", ""), setup.get("package", ""))
        with contextlib.suppress(OSError):
            self.refuse(str(setup.get("job", "")), UsageError.returncode, text)
        self.close()
        raise UsageError(text)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.socket.fileno()

    def early(self) -> list[wire.Frame]:
        """Return the frames that came together with the settings."""
        frames, self._early = self._early, []
        return frames

    def receive(self) -> list[wire.Frame] | None:
        """Return the frames that have come, or None when the other side is gone."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self._abandoned = not data
        return self._decoder.feed(data) if data else None

    def refuse(self, job: str, returncode: int, message: str) -> None:
        """Report that the job could not be started."""
        event = Event("job_refused", job, time.time(), None, None, details={"returncode": returncode, "message": message})
        self.socket.sendall(wire.encode_json(wire.EVENT, event.to_json()))

    def close(self) -> None:
        """Close the socket. If the other side is gone, remove its private directory, which it cannot do any more."""
        self.socket.close()
        if self._abandoned and self._folder.name.startswith(FOLDER):
            shutil.rmtree(self._folder, ignore_errors=True)

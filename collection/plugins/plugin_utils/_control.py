# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the socket between the process that called `start_job` and the worker that runs the job.

A Unix socket in a directory of the user's own, not a network port. Down it come the settings, unchanged and never
templated, the wish to stop, and standard input as far as there is room for it; up it go events, output, and word of that
room. When either side dies the other reads its end.
"""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

from ..module_utils import _wire as wire
from ._errors import LaunchError

PATIENCE = 30.0
# What the name of the private directory that holds the socket begins with. Short: see the launching process's `_private_folder`.
FOLDER = "mlxlaunch-c-"


class Control:
    """The worker's end.

    Attributes:
        setup: what the launching process wants: settings, job, hostfile, terminal, term, default_cwd, default_python, default_stdin.
    """

    def __init__(self, path: str) -> None:
        self._folder = Path(path).parent
        self._abandoned = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._decoder = wire.Decoder()
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
            self.socket.sendall(wire.encode(wire.PING))
            frames = self._first_frames()
        except OSError as exc:
            self._abandoned = True
            self.close()
            raise LaunchError(f"the process that launched the job does not answer: {exc}") from None
        self.setup: dict[str, Any] = frames[0].json()
        self._early = frames[1:]
        self.socket.settimeout(None)

    def _first_frames(self) -> list[wire.Frame]:
        while True:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("it is gone")
            frames = self._decoder.feed(data)
            if frames:
                return frames

    def early(self) -> list[wire.Frame]:
        """Return wishes that came together with the settings."""
        frames, self._early = self._early, []
        return frames

    def receive(self) -> list[wire.Frame] | None:
        """Return the wishes that have come, or None when the other side is gone."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self._abandoned = not data
        return self._decoder.feed(data) if data else None

    def refuse(self, job: str, returncode: int, message: str) -> None:
        """Tell that the job could not be started."""
        event = {"event": "job_refused", "job": job, "returncode": returncode, "message": message}
        self.socket.sendall(wire.encode_json(wire.EVENT, event))

    def close(self) -> None:
        """Let the other side read the end. If it is gone, remove its private directory, which it cannot do any more."""
        self.socket.close()
        if self._abandoned and self._folder.name.startswith(FOLDER):
            shutil.rmtree(self._folder, ignore_errors=True)

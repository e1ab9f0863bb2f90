# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that uses `run_job` and looks at output only: `api.py INVENTORY SCRIPT ARGS...`.

Prints what it saw as JSON lines: for ticks and tokens the microseconds they took, for a flood how many bytes have come.
A word of a rank is printed as it is.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from mlxlaunch_ansible import Event, run_job

_STEP = 4 * 1024 * 1024


class Watcher:
    """Takes the events of a job."""

    def __init__(self) -> None:
        self._bytes = 0
        self._told = 0

    def __call__(self, event: Event) -> None:
        """Look at one event."""
        if event.event != "rank_output":
            return
        if event.data.startswith((b"tick ", b"token ")):
            now = time.monotonic_ns()
            self._say(us=[(now - int(time_printed)) / 1000 for time_printed in event.data.split()[1::2]])
        elif event.data.startswith(b"rank "):
            print(event.data.decode(), end="", flush=True)
        else:
            self._count(len(event.data))

    def _count(self, size: int) -> None:
        first = not self._bytes
        self._bytes += size
        if first or self._bytes - self._told >= _STEP:
            self.tell()

    def tell(self) -> None:
        """Say how much has come."""
        self._told = self._bytes
        self._say(bytes=self._bytes, at=time.monotonic())

    @staticmethod
    def _say(**facts: object) -> None:
        print(json.dumps(facts), flush=True)


def main() -> int:
    """Run the job and return its exit status."""
    inventory, script, *args = sys.argv[1:]
    watcher = Watcher()
    result = run_job(Path(inventory), script, args=args, sync=False, on_event=watcher)
    watcher.tell()
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())

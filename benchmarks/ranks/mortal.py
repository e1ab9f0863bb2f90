"""A rank that fails when it gets SIGUSR1. Argument: `honour` or `ignore`, what it does about SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import time

signal.signal(signal.SIGUSR1, lambda *_: os._exit(1))
if sys.argv[1] == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    time.sleep(1)

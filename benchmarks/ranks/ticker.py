"""Rank 0 prints the time now and then; the others are there and say nothing. Arguments: seconds, interval."""

from __future__ import annotations

import os
import sys
import time

seconds, interval = float(sys.argv[1]), float(sys.argv[2])
end = time.monotonic() + seconds
if os.environ.get("MLX_RANK") == "0":
    while time.monotonic() < end:
        print(f"tick {time.monotonic_ns()}", flush=True)
        time.sleep(interval)
else:
    time.sleep(seconds)

"""Rank 0 prints the time again and again without ending the line; the others are there and say nothing. Arguments: seconds, rate."""

from __future__ import annotations

import os
import sys
import time

seconds, rate = float(sys.argv[1]), float(sys.argv[2])
begun = time.monotonic()
if os.environ.get("MLX_RANK") == "0":
    for number in range(int(seconds * rate)):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        print(f"token {time.monotonic_ns()} ", end="", flush=True)
else:
    time.sleep(seconds)

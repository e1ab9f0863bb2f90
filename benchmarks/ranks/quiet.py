"""A rank that says it is up and then nothing. Argument: seconds."""

from __future__ import annotations

import sys
import time

print("up", flush=True)
time.sleep(float(sys.argv[1]))

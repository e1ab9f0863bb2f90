"""MLX's distributed operations on every rank: `distributed.py BACKEND`. Each rank prints one line when all is right.

What is checked is what the distributed test programs of MLX check, on any number of ranks, and without any other package.
"""

from __future__ import annotations

import collectives
import layers
import mlx.core as mx
from ranks import join

world = join()
checks = collectives.CHECKS + layers.CHECKS
for check in checks:
    try:
        check(world)
    except AssertionError as error:
        raise SystemExit(f"{check.__name__} on rank {world.rank()} of {world.size()}: {error}") from None
mx.synchronize()
print(f"ok rank {world.rank()} of {world.size()} by {world.backend}: {len(checks)} checks", flush=True)

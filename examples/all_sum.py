"""Add up one array over all ranks, the smallest proof that they work as one.

Run it with: mlxlaunch run -n 2 examples/all_sum.py
"""

import mlx.core as mx

world = mx.distributed.init()
total = mx.distributed.all_sum(mx.ones(10) * (world.rank() + 1))
print(f"rank {world.rank()} of {world.size()}: {total[0].item():g}", flush=True)

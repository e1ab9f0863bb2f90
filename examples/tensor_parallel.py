"""Split the layers of a model over all ranks, and get what the whole model gives.

Run it with: mlxlaunch run -n 2 examples/tensor_parallel.py

Each rank has its part of every matrix, so a model fits that is too large for one machine. The first layer gives each rank a
part of what is in between, the second adds the parts up: one exchange for the two.
"""

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.distributed import shard_linear

FEATURES, HIDDEN = 64, 960  # hidden: divisible by 1 to 6, 8, 10 and 12 ranks


class FeedForward(nn.Module):
    """Two linear layers, as in a transformer's block."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(FEATURES, HIDDEN)
        self.down = nn.Linear(HIDDEN, FEATURES)

    def __call__(self, x: mx.array) -> mx.array:
        """Return x with what the layers make of it."""
        return x + self.down(nn.gelu(self.up(x)))

    def shard(self, group: mx.distributed.Group) -> None:
        """Keep this rank's part of the layers."""
        self.up = shard_linear(self.up, "all-to-sharded", group=group)
        self.down = shard_linear(self.down, "sharded-to-all", group=group)


def main() -> None:
    """Compare the whole model with the one in parts."""
    world = mx.distributed.init()
    mx.random.seed(0)  # the same weights and inputs everywhere
    model = nn.Sequential(FeedForward(), FeedForward())
    x = mx.random.normal((4, FEATURES))
    # Only here is there a whole model. A large one is read from its file part by part.
    whole = model(x)
    mx.eval(whole)

    for layer in model.layers:
        layer.shard(world)
    parts = model(x)
    difference = mx.abs(parts - whole).max().item()
    weights = sum(layer.up.weight.size + layer.down.weight.size for layer in model.layers)
    print(f"rank {world.rank()} of {world.size()}: {weights} weights, off by {difference:.1e}", flush=True)
    if difference > 1e-4:
        raise SystemExit("the parts do not give what the whole gives")


main()

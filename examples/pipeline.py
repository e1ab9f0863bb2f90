"""Give each rank some of a model's layers, and pass what is in between from rank to rank.

Run it with: mlxlaunch run -n 2 examples/pipeline.py

A batch goes through in pieces, so that the ranks work at the same time: while the second has the first piece, the first has
the second one. In a ring each rank can send to its two neighbours, which is all that a pipeline needs: the last one's neighbour
is rank 0, which gets the results.
"""

import mlx.core as mx
import mlx.nn as nn

FEATURES, LAYERS = 32, 12
PIECES, PIECE = 6, 8  # pieces of a batch, rows of a piece


def stage(layers: list[nn.Module], x: mx.array) -> mx.array:
    """Return what these layers make of x."""
    for layer in layers:
        x = x + mx.tanh(layer(x))
    return x


def send(x: mx.array, rank: int) -> None:
    """Send now: MLX would wait until somebody asks for the value, and nobody here does."""
    mx.eval(mx.distributed.send(x, rank))


def receive(like: mx.array, rank: int) -> mx.array:
    """Receive now: several that wait for their turn come in any order."""
    x = mx.distributed.recv_like(like, rank)
    mx.eval(x)
    return x


def main() -> None:
    """Run the batch through the pipeline; rank 0 compares with all layers in one place."""
    world = mx.distributed.init()
    rank, size = world.rank(), world.size()
    mx.random.seed(0)  # the same weights and inputs everywhere; of weights, a rank of a real model would load only its own
    layers = [nn.Linear(FEATURES, FEATURES) for _layer in range(LAYERS)]
    batch = mx.random.normal((PIECES, PIECE, FEATURES))
    mine = layers[rank * LAYERS // size : (rank + 1) * LAYERS // size]
    before, after = (rank - 1) % size, (rank + 1) % size

    results = []
    for turn in range(PIECES + size - 1):
        # Each rank beyond the first has a piece: take out a result before the next one goes in, or all would wait for each other.
        if rank == 0 and size > 1 and turn >= size - 1:
            results.append(receive(batch[0], before))
        if turn < PIECES:
            y = stage(mine, batch[turn] if rank == 0 else receive(batch[0], before))
            if size > 1:
                send(y, after)
            else:
                results.append(y)

    print(f"rank {rank} of {size}: layers {rank * LAYERS // size} to {(rank + 1) * LAYERS // size - 1}", flush=True)
    if rank == 0:
        difference = mx.abs(mx.stack(results) - stage(layers, batch)).max().item()
        print(f"{PIECES} pieces through {LAYERS} layers, off by {difference:.1e}", flush=True)
        if difference > 1e-5:
            raise SystemExit("the pipeline does not give what the whole model gives")


main()

"""Give each rank some of a model's layers, and pass what is in between from rank to rank.

Run it with: mlxlaunch run -n 2 examples/pipeline.py

A batch goes through in pieces, so that the ranks work at the same time: while the second has the first piece, the first has
the second one. In a ring each rank can send to its two neighbours, which is all that a pipeline needs: the last one's neighbour
is rank 0, which gets the result.
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
    for piece in batch:
        x = piece if rank == 0 else mx.distributed.recv_like(piece, before)
        y = stage(mine, x)
        if size > 1:
            y = mx.distributed.send(y, after)
        # Now, not when somebody asks for the value: nobody here does, and the next rank waits for it.
        mx.eval(y)
        results.append(y)
    if rank == 0 and size > 1:
        results = [mx.distributed.recv_like(piece, before) for piece in batch]
        for result in results:
            mx.eval(result)  # one by one, in the order in which they were sent; all at once they come in any

    print(f"rank {rank} of {size}: layers {rank * LAYERS // size} to {(rank + 1) * LAYERS // size - 1}", flush=True)
    if rank == 0:
        difference = mx.abs(mx.stack(results) - stage(layers, batch)).max().item()
        print(f"{PIECES} pieces through {LAYERS} layers, off by {difference:.1e}", flush=True)
        if difference > 1e-5:
            raise SystemExit("the pipeline does not give what the whole model gives")


main()

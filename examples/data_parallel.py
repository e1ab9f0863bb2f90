"""Train a small model on slices of one batch, with gradients averaged over all ranks.

Run it with: mlxlaunch run -n 2 examples/data_parallel.py --save weights.safetensors

Every rank has the whole model and sees its part of each batch, so the result is that of one process which sees all of it,
whatever the number of ranks: python examples/data_parallel.py
"""

import argparse

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

BATCH = 240  # in all; divisible by 1 to 6, 8, 10 and 12 ranks
FEATURES = 4


def make_batch(step: int) -> tuple[mx.array, mx.array]:
    """Return the same inputs and targets on every rank: a curve that a line cannot fit, with some noise."""
    features, noise = mx.random.split(mx.random.key(step))
    x = mx.random.normal((BATCH, FEATURES), key=features)
    y = mx.sin(x.sum(axis=1, keepdims=True)) + 0.1 * mx.random.normal((BATCH, 1), key=noise)
    return x, y


def loss_of(model: nn.Module, x: mx.array, y: mx.array) -> mx.array:
    """Return the mean squared error."""
    return nn.losses.mse_loss(model(x), y)


def main() -> None:
    """Train; rank 0 tells how it goes, and keeps the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--save", metavar="FILE", help="where rank 0 writes the weights (.safetensors or .npz)")
    options = parser.parse_args()

    world = mx.distributed.init()
    rank, size = world.rank(), world.size()
    if BATCH % size:
        parser.error(f"a batch of {BATCH} cannot be divided evenly by {size} ranks")
    mine = slice(rank * BATCH // size, (rank + 1) * BATCH // size)

    mx.random.seed(0)  # the same first weights everywhere
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = optim.Adam(learning_rate=1e-2)
    loss_and_gradients = nn.value_and_grad(model, loss_of)

    for step in range(options.steps):
        x, y = make_batch(step)
        loss, gradients = loss_and_gradients(model, x[mine], y[mine])
        optimizer.update(model, nn.average_gradients(gradients, world))
        mx.eval(model.parameters(), optimizer.state)
        if step % 20 == 0 or step == options.steps - 1:
            # Parts are of one size, so the mean of their losses is the loss of the batch. All ranks take part in the sum.
            loss = mx.distributed.all_sum(loss).item() / size
            if rank == 0:
                print(f"step {step} loss {loss:.6f}", flush=True)

    if rank == 0 and options.save:
        model.save_weights(options.save)
        print(f"saved {options.save}", flush=True)


main()

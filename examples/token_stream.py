"""Let a model that is split over all ranks say something, token by token, as a chat does.

Run it with: mlxlaunch run -n 2 examples/token_stream.py

All ranks compute every token together; rank 0 prints it at once, without waiting for the end of a line, and it is on the
launcher's terminal a moment later. The model is as small as one can be: it has learned one sentence by heart.
"""

import argparse
import time

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.nn.layers.distributed import shard_linear

TEXT = "the quick brown fox jumps over the lazy dog, and then it runs along the ring until every rank has seen it.\n"
VOCABULARY = sorted(set(TEXT))
CONTEXT, HIDDEN = 8, 240  # tokens that are looked back at; hidden: divisible by 1 to 6, 8, 10 and 12 ranks


class Model(nn.Module):
    """The next token from the last few."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 16)
        self.up = nn.Linear(CONTEXT * 16, HIDDEN)
        self.down = nn.Linear(HIDDEN, len(VOCABULARY))

    def __call__(self, tokens: mx.array) -> mx.array:
        """Return a score for every token that may come next; tokens is (batch, CONTEXT)."""
        return self.down(mx.tanh(self.up(self.embedding(tokens).flatten(1))))


def learn(model: Model, tokens: list[int]) -> None:
    """Learn a text by heart."""
    windows = mx.array([tokens[at : at + CONTEXT] for at in range(len(tokens) - CONTEXT)])
    wanted = mx.array(tokens[CONTEXT:])
    optimizer = optim.Adam(learning_rate=1e-2)
    step = nn.value_and_grad(model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean"))
    for _round in range(40):
        _loss, gradients = step(windows, wanted)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)


def main() -> None:
    """Learn, split, generate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=len(TEXT) - CONTEXT, help="how many to generate")
    parser.add_argument("--rate", type=float, default=50, help="tokens per second, at most; a real model takes its time")
    options = parser.parse_args()

    world = mx.distributed.init()
    mx.random.seed(0)  # the same weights everywhere
    model = Model()
    tokens = [VOCABULARY.index(letter) for letter in TEXT]
    learn(model, tokens)
    model.up = shard_linear(model.up, "all-to-sharded", group=world)
    model.down = shard_linear(model.down, "sharded-to-all", group=world)

    said = tokens[:CONTEXT]
    if world.rank() == 0:
        print(TEXT[:CONTEXT], end="", flush=True)
    for _token in range(options.tokens):
        best = mx.argmax(model(mx.array([said[-CONTEXT:]])))
        # Rank 0 decides: another rank's sum may differ in the last bit, and two that go on from different tokens give nonsense.
        # The others multiply: what is not used MLX does not compute, and their part of the model would be missing.
        token = int(mx.distributed.all_sum(best * (world.rank() == 0)).item())
        said.append(token)
        if world.rank() == 0:
            print(VOCABULARY[token], end="", flush=True)
            time.sleep(1 / options.rate)


main()

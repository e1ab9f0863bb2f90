"""What `mlx.nn` makes of the collectives: averaged gradients and layers in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import mlx.core as mx
from mlx import nn
from mlx.nn.layers.distributed import shard_inplace, shard_linear
from mlx.nn.utils import average_gradients, clip_grad_norm_sharded
from mlx.utils import tree_flatten
from ranks import World, want_close, want_equal

#: Columns for each rank: quantized weights come in groups of 64.
_PART = 64


def check_average(world: World) -> None:
    """Gradients are averaged, in as many sums as their sizes ask for, and of any mixture of types."""
    size = world.size()
    gradients = {"layers": [{"weight": mx.full((5, 2), float(world.rank() + number))} for number in range(10)]}
    # 10 arrays of 40 bytes; 0 is one sum for each.
    for options, sums in (({}, 1), ({"all_reduce_size": 200}, 2), ({"all_reduce_size": 0}, 10), ({"communication_stream": mx.cpu}, 1)):
        averaged, count = _averaged(gradients, world, **options)
        assert count == sums, f"{options}: {count} sums, not {sums}"
        for number, layer in enumerate(averaged["layers"]):
            want_close(options, layer["weight"], mx.full((5, 2), (size - 1) / 2 + number))
    mixed, count = _averaged([mx.ones(3), mx.ones(3, dtype=mx.float16)], world)
    assert count == 2, f"two types: {count} sums"
    assert [each.dtype for each in mixed] == [mx.float32, mx.float16]
    want_equal("mixed", mixed[1], mx.ones(3, dtype=mx.float16))


def _averaged(gradients: Any, world: World, **options: Any) -> tuple[Any, int]:
    """Return the averages and how many sums it took."""
    with mock.patch.object(mx.distributed, "all_sum", wraps=mx.distributed.all_sum) as counted:
        averaged = average_gradients(gradients, world.group, **options)
        mx.eval(averaged)
    return averaged, counted.call_count


def check_clipping(world: World) -> None:
    """The norm of gradients in parts is that of all parts together."""
    gradients = {"a": mx.full((4, 3), 3.0), "b": mx.full((5,), 3.0)}
    norm = 3.0 * (17 * world.size()) ** 0.5
    for most, factor in ((1e9, 1.0), (1.0, 1 / norm)):
        clipped, found = clip_grad_norm_sharded(gradients, most, world.group)
        want_close("norm", found, mx.array(norm))
        for name, gradient in gradients.items():
            want_close(name, clipped[name], gradient * factor)


def check_linear(world: World) -> None:
    """A layer in parts gives what the whole gives: its part of the output, or all of it from its part of the input."""
    mx.random.seed(7)
    width = _PART * world.size()
    mine = slice(world.rank() * _PART, (world.rank() + 1) * _PART)
    x = mx.random.normal((4, width))
    whole = nn.Linear(width, width)
    quantized = {
        mode: whole.to_quantized(group_size=group, bits=bits, mode=mode) for mode, group, bits in (("affine", 64, 4), ("mxfp8", 32, 8))
    }
    for name, layer in {"linear": whole, **quantized}.items():
        wanted = layer(x)
        parts = shard_linear(layer, "all-to-sharded", group=world.group)
        total = shard_linear(layer, "sharded-to-all", group=world.group)
        assert parts.get("mode", "") == layer.get("mode", ""), name
        want_close((name, "part of the output"), parts(x), wanted[:, mine])
        want_close((name, "part of the input"), total(x[:, mine]), wanted)


def check_gradients(world: World) -> None:
    """Gradients of layers in parts are the parts of the whole layers' gradients."""
    mx.random.seed(8)
    width = 16 * world.size()
    mine = slice(world.rank() * 16, (world.rank() + 1) * 16)
    whole = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
    parts = nn.Sequential(
        shard_linear(whole.layers[0], "all-to-sharded", group=world.group),
        shard_linear(whole.layers[1], "sharded-to-all", group=world.group),
    )
    x, y = mx.random.normal((4, width)), mx.random.normal((4, width))

    def loss(model: nn.Module) -> mx.array:
        return (model(x) * y).sum()

    wanted_loss, wanted = nn.value_and_grad(whole, loss)(whole)
    found_loss, found = nn.value_and_grad(parts, loss)(parts)
    mx.eval(found_loss, found)
    want_close("loss", found_loss, wanted_loss, atol=1e-3)
    slices = {"layers.0.weight": mine, "layers.0.bias": mine, "layers.1.weight": (slice(None), mine), "layers.1.bias": slice(None)}
    whole_gradients = dict(tree_flatten(wanted))
    for name, gradient in tree_flatten(found):
        want_close(name, gradient, whole_gradients[name][slices[name]])


def check_any_module(world: World) -> None:
    """A module that sums by itself can be split by a rule of one's own: here convolutions, by channels."""

    class Convolution(nn.Module):
        def __init__(self, *sizes: int, add_up: bool = False) -> None:
            super().__init__()
            self.inner = nn.Conv2d(*sizes, kernel_size=3, bias=not add_up)
            self.add_up = add_up

        def __call__(self, x: mx.array) -> mx.array:
            y = self.inner(x)
            return mx.distributed.all_sum(y, group=world.group) if self.add_up else y

    mx.random.seed(9)
    channels = 4 * world.size()
    parts = nn.Sequential(Convolution(3, channels), Convolution(channels, 2, add_up=True))
    x = mx.random.normal((2, 8, 8, 3))
    wanted = parts.layers[1].inner(parts.layers[0].inner(x))
    mx.eval(wanted)
    shard_inplace(parts, lambda path, _weight: 0 if path.startswith("layers.0.") else -1, group=world.group)
    assert parts.layers[0].inner.weight.shape[0] == 4
    want_close("convolution", parts(x), wanted)


CHECKS: tuple[Callable[[World], None], ...] = (
    check_average,
    check_clipping,
    check_linear,
    check_gradients,
    check_any_module,
)

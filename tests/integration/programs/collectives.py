"""Reductions, gathers, messages and groups. Every value is exact in every type, so results have to be equal."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
from ranks import World, want_equal

_REAL = (mx.int8, mx.uint8, mx.int16, mx.uint16, mx.int32, mx.uint32, mx.int64, mx.uint64, mx.float16, mx.bfloat16, mx.float32)
_DTYPES = (*_REAL, mx.complex64)
#: What is only passed on: a type of each size.
_SIZES = (mx.int8, mx.bfloat16, mx.float32, mx.complex64)
#: One that ranks cannot divide evenly, one that is less than a value each on 8 ranks, one of two dimensions. A type has one of
#: them: an operation of a ring takes its time where ranks are more than cores, as each turns in a loop while it waits.
_SHAPES = ((1021,), (3,), (16, 64))
#: More than goes in one piece: the ring then uses both directions.
_LARGE = ((1536, 1024), mx.float32)


def values(rank: int, shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    """Return what a rank has: small whole numbers, of which 8 still add up to an int8."""
    count = 1
    for length in shape:
        count *= length
    found = ((mx.arange(count) * 7 + rank * 5) % 13).reshape(shape)
    return found.astype(dtype) * (1 + 1j) if dtype == mx.complex64 else found.astype(dtype)


def everyone(group: mx.distributed.Group, shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    """Return what all ranks have, one after the other."""
    return mx.stack([values(rank, shape, dtype) for rank in range(group.size())])


def check_group(world: World) -> None:
    """Asked for again, without a name, the group is the same one."""
    again = mx.distributed.init()
    assert (again.rank(), again.size()) == (world.rank(), world.size())
    assert mx.distributed.is_available(world.backend)


def check_split(world: World) -> None:
    """MPI makes groups out of a group; a ring cannot, and says so."""
    if world.backend != "mpi":
        try:
            world.group.split(world.rank() % 2)
        except RuntimeError:
            return
        raise AssertionError(f"{world.backend} has split a group: let the checks of groups run with it")
    for color, members in ((world.rank() % 2, world.size() // 2 + (world.even() and world.size() % 2)), (0, world.size())):
        part = world.group.split(color)
        assert part.size() == members, f"{part.size()} ranks have the color {color}, not {members}"
    backwards = world.group.split(0, world.size() - world.rank())
    assert backwards.rank() == world.size() - 1 - world.rank(), "the key does not order the ranks"


def check_reductions(world: World) -> None:
    """Sum, largest and smallest are what this rank finds when it makes all ranks' values itself."""
    for group in groups(world):
        for number, dtype in enumerate(_DTYPES):
            _reduce(group, _SHAPES[number % len(_SHAPES)], dtype)
    _reduce(world.group, *_LARGE)


def groups(world: World) -> list[mx.distributed.Group]:
    """Return the groups that there can be: all ranks and, with MPI, every other one."""
    return [world.group, world.group.split(world.rank() % 2)] if world.backend == "mpi" else [world.group]


def _reduce(group: mx.distributed.Group, shape: tuple[int, ...], dtype: mx.Dtype) -> None:
    mine, all_of_them = values(group.rank(), shape, dtype), everyone(group, shape, dtype)
    reductions: list[tuple[str, mx.array, mx.array]] = [
        ("sum", mx.distributed.all_sum(mine, group=group), all_of_them.sum(0).astype(dtype)),
        ("max", mx.distributed.all_max(mine, group=group), all_of_them.max(0)),
        ("min", mx.distributed.all_min(mine, group=group), all_of_them.min(0)),
    ]
    for name, got, wanted in reductions:
        want_equal((name, dtype, shape), got, wanted)


def check_gather(world: World) -> None:
    """Everyone has what everyone had, in rank order, along the first axis."""
    for group in groups(world):
        for dtype in _SIZES:
            shape = (2, 3, 4)
            got = mx.distributed.all_gather(values(group.rank(), shape, dtype), group=group)
            want_equal(("gather", dtype), got, everyone(group, shape, dtype).reshape(-1, 3, 4))


def check_gather_gradient(world: World) -> None:
    """A value's gradient comes back to the rank that had it."""
    slope = mx.grad(lambda x: mx.distributed.all_gather(x, group=world.group)[0])(mx.array(1.0))
    assert slope.item() == (1.0 if world.rank() == 0 else 0.0)


def check_neighbours(world: World) -> None:
    """Each rank sends to the next one and receives from the one before: every size of value, and more than fits into a socket."""
    right, left = (world.rank() + 1) % world.size(), (world.rank() - 1) % world.size()
    for shape, dtype in (*(((1021,), dtype) for dtype in _SIZES), _LARGE):
        mine, theirs = values(world.rank(), shape, dtype), values(left, shape, dtype)
        if world.even():
            sent = mx.distributed.send(mine, right, group=world.group)
            mx.eval(sent)
            got = mx.distributed.recv_like(mine, left, group=world.group)
        else:
            got = mx.distributed.recv(shape, dtype, left, group=world.group)
            mx.eval(got)
            sent = mx.distributed.send(mine, right, group=world.group)
        mx.eval(got, sent)
        want_equal(("received", dtype), got, theirs)
        want_equal(("sent", dtype), sent, mine)


def check_backwards(world: World) -> None:
    """The same the other way round: a ring's connections go both ways."""
    right, left = (world.rank() + 1) % world.size(), (world.rank() - 1) % world.size()
    mine = values(world.rank(), (100,), mx.float32)
    if world.even():
        mx.eval(mx.distributed.send(mine, left, group=world.group))
    got = mx.distributed.recv_like(mine, right, group=world.group)
    mx.eval(got)
    if not world.even():
        mx.eval(mx.distributed.send(mine, left, group=world.group))
    want_equal("received from the right", got, values(right, (100,), mx.float32))


def check_across(world: World) -> None:
    """A number goes to a rank far away and comes back doubled. A ring reaches neighbours only, so there it is the next one."""
    half = world.size() // 2 if world.backend == "mpi" else 1
    first = world.rank()
    second = first + half
    x = mx.full((10,), float(world.rank()))
    if first < half:
        mx.eval(mx.distributed.send(x, second, group=world.group))
        back = mx.distributed.recv_like(x, second, group=world.group)
        want_equal("came back", back, x * 2)
    elif first < 2 * half:
        got = mx.distributed.recv_like(x, first - half, group=world.group)
        # In one evaluation with something that has nothing to do with it.
        other = mx.ones((5, 5)) + 2
        mx.eval(mx.distributed.send(got * 2, first - half, group=world.group), other)
        assert other.sum().item() == 75


def check_groups_of_groups(world: World) -> None:
    """A sum over pairs, gathered over every other rank: each operation keeps to its group."""
    if world.backend != "mpi" or world.size() % 2:
        return
    pair, others = world.group.split(world.rank() // 2), world.group.split(world.rank() % 2)
    total = mx.distributed.all_sum(mx.full((1, 8), float(world.rank())), group=pair)
    got = mx.distributed.all_gather(total, group=others)
    want_equal("pairs", got, mx.repeat(mx.array([[4.0 * half + 1] for half in range(world.size() // 2)]), 8, axis=1))


def check_memory(world: World) -> None:
    """A sum that is only used once lends its memory to what is made of it."""
    x = mx.random.normal((4096,))
    factor = mx.array(2.0)
    peaks = []
    for make in (lambda total: total, lambda total: total * factor):
        mx.eval(x, factor)
        mx.synchronize()
        mx.reset_peak_memory()
        mx.eval(make(mx.distributed.all_sum(x, group=world.group)))
        mx.synchronize()
        peaks.append(mx.get_peak_memory())
    assert peaks[0] == peaks[1], f"{peaks[1]} bytes instead of {peaks[0]}"


CHECKS: tuple[Callable[[World], None], ...] = (
    check_group,
    check_split,
    check_reductions,
    check_gather,
    check_gather_gradient,
    check_neighbours,
    check_backwards,
    check_across,
    check_groups_of_groups,
    check_memory,
)

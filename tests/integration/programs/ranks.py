"""The group that a program here works with, and how it compares arrays."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import mlx.core as mx


@dataclass(frozen=True)
class World:
    """All ranks.

    Attributes:
        group: MLX's.
        backend: its name.
    """

    group: mx.distributed.Group
    backend: str

    def rank(self) -> int:
        """Return this rank."""
        return self.group.rank()

    def size(self) -> int:
        """Return the number of ranks."""
        return self.group.size()

    def even(self) -> bool:
        """Return whether this rank's number is even."""
        return self.rank() % 2 == 0


def join() -> World:
    """Join the group over the backend named on the command line; it has to be the one that the launcher has promised."""
    backend = sys.argv[1]
    group = mx.distributed.init(strict=True, backend=backend)
    got, promised = (group.rank(), group.size()), (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if got != promised:
        raise SystemExit("{}: got a group of rank {} of {}, RANK and WORLD_SIZE say {} of {}".format(backend, *got, *promised))
    return World(group, backend)


def want_equal(what: object, got: mx.array, wanted: mx.array) -> None:
    """Fail unless both are the same, in type and shape too."""
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), f"{what}: {got.dtype} {got.shape}, not {wanted.dtype} {wanted.shape}"
    assert mx.array_equal(got, wanted).item(), f"{what}: {got}, not {wanted}"


def want_close(what: object, got: mx.array, wanted: mx.array, *, atol: float = 1e-5, rtol: float = 1e-4) -> None:
    """Fail unless both are the same but for rounding."""
    assert got.shape == wanted.shape, f"{what}: {got.shape}, not {wanted.shape}"
    off = mx.abs(got - wanted).max().item()
    assert mx.allclose(got, wanted, atol=atol, rtol=rtol).item(), f"{what}: off by {off:.1e}"

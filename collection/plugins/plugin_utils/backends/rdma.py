# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RDMA devices that lead from each rank to each other, for jaccl. Pure.

A row per rank, an entry per rank: null, a device's name, or a list of names. With a matrix that makes no mesh or ring,
jaccl silently falls back to a world of one (is_valid_mesh and is_valid_ring in
mlx/distributed/jaccl/lib/jaccl/jaccl.cpp).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..job.errors import UsageError

Matrix = Sequence[Sequence[Any]]
_NAMED = 3  # pairs of hosts in one message, as in mlx.launch
_MOST_IN_A_RING = 4  # devices between neighbours: RING_MAX_CONNS in mlx/distributed/jaccl/lib/jaccl/ring_impl.h


def check_rdma(matrix: Matrix, hosts: Sequence[str], backend: str) -> None:
    """Raise UsageError unless the matrix connects all ranks as `backend` needs it.

    Args:
        matrix: a row per rank.
        hosts: the host of each rank.
        backend: `jaccl`, where each rank needs a way to each other, or `jaccl-ring`, where its two neighbours will do.
    """
    _check_one_rank_per_host(hosts, backend)
    _check_shape(matrix, hosts, backend)
    for at, row in enumerate(matrix):
        _check_row(row, at, hosts)
    pairs = list(_ring_pairs(len(hosts)) if backend == "jaccl-ring" else _all_pairs(len(hosts)))
    _check_complete(matrix, hosts, pairs, backend)
    if backend == "jaccl-ring":
        _check_widths(matrix, hosts, pairs)


def _check_one_rank_per_host(hosts: Sequence[str], backend: str) -> None:
    several = [f"{host} {count}" for host, count in Counter(hosts).items() if count > 1]
    if several:
        ranks = f"{', '.join(several[:_NAMED])}{_more(several)}"
        raise UsageError(f"{backend} runs one rank per host, as RDMA leads from host to host; ranks on a host: {ranks}")


def _check_shape(matrix: Matrix, hosts: Sequence[str], backend: str) -> None:
    size = len(hosts)
    without = [host for host, row in zip(hosts, matrix, strict=True) if not row]
    if without:
        named = f"{', '.join(without[:_NAMED])}{_more(without)}"
        raise UsageError(f"{backend} needs to know the RDMA devices of {named}: set mlx_rdma, or rdma in the hostfile, one entry per rank")
    wrong = [f"{host} has {len(row)}" for host, row in zip(hosts, matrix, strict=True) if len(row) != size]
    if wrong:
        named = f"{', '.join(wrong[:_NAMED])}{_more(wrong)}"
        raise UsageError(f"rdma: want {size} entries for each host, one per rank and null for itself; {named}")


def _check_row(row: Sequence[Any], at: int, hosts: Sequence[str]) -> None:
    for to, entry in enumerate(row):
        if to == at and entry is not None:
            raise UsageError(f"rdma: {hosts[at]}: entry {at} is {entry!r}, and stands for {hosts[at]} itself: want null")
        if not (entry is None or _is_name(entry) or (isinstance(entry, (list, tuple)) and all(map(_is_name, entry)))):
            raise UsageError(f"rdma: {hosts[at]} to {hosts[to]}: {entry!r}: want the name of a device, a list of names, or null")


def _is_name(entry: Any) -> bool:
    return isinstance(entry, str) and bool(entry.strip())


def _check_complete(matrix: Matrix, hosts: Sequence[str], pairs: Sequence[tuple[int, int]], backend: str) -> None:
    missing = []
    for one, other in pairs:
        if not matrix[one][other]:
            back = _names(matrix[other][one])
            way_back = f" ({hosts[other]} to {hosts[one]} has {', '.join(back)})" if back else ""
            missing.append(f"{hosts[one]} to {hosts[other]}{way_back}")
    if missing:
        wanted = "each rank needs one to both its neighbours" if backend == "jaccl-ring" else "each rank needs one to each other"
        raise UsageError(f"rdma: no device is listed for {', '.join(missing[:_NAMED])}{_more(missing)}; {wanted} for {backend}")


def _check_widths(matrix: Matrix, hosts: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
    """Neighbours may have several devices between them, all pairs as many."""
    widths = {pair: len(_names(matrix[pair[0]][pair[1]])) for pair in pairs}
    for (one, other), width in widths.items():
        if width > _MOST_IN_A_RING:
            raise UsageError(f"rdma: {hosts[one]} to {hosts[other]} has {width} devices, and MLX uses at most {_MOST_IN_A_RING}")
        if width != widths[pairs[0]]:
            first, second = (f"{hosts[a]} to {hosts[b]} has {widths[a, b]}" for a, b in (pairs[0], (one, other)))
            raise UsageError(f"rdma: {first} and {second}; jaccl-ring wants as many devices between all neighbours")


def _names(entry: Any) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry or ())


def _all_pairs(size: int) -> Iterator[tuple[int, int]]:
    return ((one, other) for one in range(size) for other in range(size) if one != other)


def _ring_pairs(size: int) -> Iterator[tuple[int, int]]:
    for one in range(size):
        for other in dict.fromkeys(((one - 1) % size, (one + 1) % size)):
            if other != one:
                yield one, other


def _more(items: Sequence[str]) -> str:
    return f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""

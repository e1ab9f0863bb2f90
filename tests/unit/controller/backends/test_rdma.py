"""RDMA devices that do not connect all ranks are refused, and the message names the hosts."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.rdma import check_rdma
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.support.refusals import refusal

HOSTS = ("a", "b", "c", "d")
MESH = [[None, "en2", "en3", "en4"], ["en2", None, "en4", "en3"], ["en3", "en4", None, "en2"], ["en4", "en3", "en2", None]]
RING = [[None, "en2", None, "en4"], ["en2", None, "en4", None], [None, "en4", None, "en2"], ["en4", None, "en2", None]]
BACKENDS = ("jaccl", "jaccl-ring")


def but(matrix: list[list[Any]], *changes: tuple[int, int, Any]) -> list[list[Any]]:
    """Return a matrix with other entries."""
    changed = [list(row) for row in matrix]
    for one, other, entry in changes:
        changed[one][other] = entry
    return changed


def check(matrix: list[list[Any]], backend: str = "jaccl", hosts: tuple[str, ...] = HOSTS) -> None:
    check_rdma(matrix, hosts, backend)


@pytest.mark.parametrize(
    ("matrix", "backend"),
    [
        (MESH, "jaccl"),
        (MESH, "jaccl-ring"),
        (RING, "jaccl-ring"),
        (but(MESH, (0, 1, ["en2", "en5"])), "jaccl"),
        ([[None, ["en2", "en3"]], [["en4", "en5"], None]], "jaccl-ring"),
        ([[None, "en2"], ["en2", None]], "jaccl"),
        ([[None]], "jaccl"),
        (but(RING, (0, 2, "en7")), "jaccl-ring"),  # nobody uses the way from 0 to 2
    ],
)
def test_complete_mesh_and_complete_ring_are_accepted(matrix: list[list[Any]], backend: str) -> None:
    check_rdma(matrix, HOSTS[: len(matrix)], backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("matrix", "parts"),
    [
        ([[], [], [], []], ["of a, b, c and 1 more", "set mlx_rdma"]),
        ([*MESH[:3], []], ["needs to know the RDMA devices of d:"]),
        ([*MESH[:2], MESH[2][:3], [*MESH[3], "en5"]], ["want 4 entries", "c has 3, d has 5"]),
        (but(MESH, (1, 1, "en2")), ["b: entry 1 is 'en2'", "b itself: want null"]),
        (but(MESH, (1, 1, [])), ["b: entry 1 is []"]),
        (but(MESH, (0, 1, None)), ["a to b (b to a has en2)"]),
        (but(MESH, (0, 1, None), (1, 0, None)), ["a to b, b to a;"]),
        (but(MESH, (0, 1, [])), ["no device is listed for a to b"]),
        (but(MESH, (0, 1, 7)), ["a to b: 7: want the name"]),
        (but(MESH, (0, 1, "")), ["a to b: ''"]),
        (but(MESH, (0, 1, ["en2", None])), ["a to b: ['en2', None]"]),
        (but(MESH, (0, 1, {"en2": 1})), ["a to b: {'en2': 1}"]),
    ],
)
def test_bad_device_matrix_is_refused_with_its_hosts(matrix: list[list[Any]], parts: list[str], backend: str) -> None:
    message = refusal(check, matrix, backend)
    assert [part for part in parts if part not in message] == []


def test_a_ring_is_no_mesh() -> None:
    message = refusal(check, RING)
    assert message == "rdma: no device is listed for a to c, b to d, c to a and 1 more; each rank needs one to each other for jaccl"


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_ranks_on_a_host_are_refused(backend: str) -> None:
    message = refusal(check, MESH, backend, ("a", "a", "b", "c"))
    assert message == f"{backend} runs one rank per host, as RDMA leads from host to host; ranks on a host: a 2"


def test_neighbours_in_a_ring_need_as_many_devices_everywhere() -> None:
    """MLX's is_valid_ring is false otherwise, and each rank would be alone in a world of one."""
    assert "a to d has 1 and b to c has 2; jaccl-ring wants as many" in refusal(check, but(RING, (1, 2, ["en4", "en5"])), "jaccl-ring")
    five = [f"en{number}" for number in range(5)]
    assert "a to b has 5 devices, and MLX uses at most 4" in refusal(check, [[None, five], [five, None]], "jaccl-ring", ("a", "b"))


entries = st.none() | st.sampled_from(["en2", "en3"]) | st.just(["en4", "en5"])
matrices = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.lists(entries, min_size=max(0, size - 1), max_size=size), min_size=size, max_size=size)
)


@given(matrices, st.sampled_from(BACKENDS))
def test_what_mlx_launch_refuses_is_refused(matrix: list[list[Any]], backend: str) -> None:
    """And nothing else, but for the number of devices between neighbours of a ring."""
    launch = pytest.importorskip("mlx._distributed_utils.launch")
    common = pytest.importorskip("mlx._distributed_utils.common")
    hosts = [common.Host(at, name, ["10.0.0.1"], row) for at, (name, row) in enumerate(zip(HOSTS, matrix, strict=False))]
    theirs = refuses(lambda: launch.launch_jaccl(_Parser(), hosts, _arguments(backend), ["train.py"]), launch)
    ours = refuses(lambda: check_rdma(matrix, HOSTS[: len(matrix)], backend), launch)
    assert ours == theirs or (not theirs and backend == "jaccl-ring" and "as many devices" in ours)


def refuses(call: Any, launch: Any) -> str:
    """Return the reason for which a call refuses, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "_launch_with_io", lambda *_arguments: None)
        try:
            call()
        except (UsageError, _Refused) as exc:
            return str(exc) if isinstance(exc, UsageError) and "as many devices" in str(exc) else "refused"
    return ""


class _Refused(Exception):
    """What a parser does with a mistake."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _Refused(message)


def _arguments(backend: str) -> argparse.Namespace:
    return argparse.Namespace(backend=backend, env=[], cwd=None, python=None, verbose=False, starting_port=1)

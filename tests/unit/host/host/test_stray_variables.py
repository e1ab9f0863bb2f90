"""Variables of a profile that would win over a job's are cleared."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.stray_variables import clear_stray, complaint


@pytest.mark.parametrize(
    ("own", "left", "cleared"),
    [
        ((), {"PATH": "/bin", "MLX_METAL_FAST_SYNCH": "1"}, ["JACCL_RANK", "MLX_HOSTFILE", "MLX_JACCL_RING"]),
        (
            ("MLX_HOSTFILE", "MLX_RANK"),
            {"PATH": "/bin", "MLX_METAL_FAST_SYNCH": "1", "MLX_HOSTFILE": "/x"},
            ["JACCL_RANK", "MLX_JACCL_RING"],
        ),
    ],
)
def test_only_variables_that_would_win_are_cleared(own: tuple[str, ...], left: dict[str, str], cleared: list[str]) -> None:
    environment = {"PATH": "/bin", "JACCL_RANK": "7", "MLX_HOSTFILE": "/x", "MLX_JACCL_RING": "0", "MLX_METAL_FAST_SYNCH": "1"}
    assert clear_stray(environment, own) == cleared
    assert environment == left


def test_one_line_names_them() -> None:
    assert complaint(["JACCL_RANK", "JACCL_RING"]).startswith("cleared JACCL_RANK, JACCL_RING, which this host's profile sets")

"""A variable of the inventory that is misspelled is not ignored without a word."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.misspelled import misspelled


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mlx_slot", "mlx_slots"),
        ("mlx_ip", "mlx_ips"),
        ("mlx_bakend", "mlx_backend"),
        ("mlx_slots", ""),
        ("mlx_model", ""),
        ("mlx_hostfile_result", ""),
        ("mlx_prepare_sleep", ""),
        ("ansible_host", ""),
    ],
)
def test_variable_that_looks_like_one_of_ours_is_told(name: str, meant: str) -> None:
    told = [f"{name} of a, b: there is no such variable; did you mean {meant}?"] if meant else []
    assert misspelled({"a": [name, "mlx_python"], "b": [name], "c": []}) == told

"""Differences between hosts are reported in one line each."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host_drift import differences


def facts(cwd: str = "/x", **environment: str) -> dict[str, Any]:
    return {"cwd": cwd, "environment": environment}


@pytest.mark.parametrize(
    ("known", "declared", "expected"),
    [
        ({}, (), []),
        ({"a": facts(MLX_A="1")}, (), []),
        ({"a": facts(MLX_A="1"), "b": facts(MLX_A="1")}, (), []),
        ({"a": facts(MLX_A="1"), "b": facts(MLX_A="2")}, ("MLX_A",), []),
        ({"a": {}, "b": {}}, (), []),
        (
            {"a": facts(MLX_A="1"), "b": facts(MLX_A="2")},
            (),
            ["MLX_A differs between hosts: one value on a; another value on b; --verbose shows the values; set it with --env or mlx_env"],
        ),
        (
            {"a": facts(MLX_A="1"), "b": facts(), "c": facts()},
            (),
            ["MLX_A differs between hosts: one value on a; unset on b, c;"],
        ),
        ({"a": facts(MLX_A=""), "b": facts()}, (), ["MLX_A differs between hosts: one value on a; unset on b;"]),
        ({"a": facts(B="1", A="1"), "b": facts()}, (), ["A differs", "B differs"]),
        (
            {"a": facts("/x"), "b": facts("/root")},
            (),
            ["the working directory differs between hosts: '/x' on a; '/root' on b; name one with --cwd"],
        ),
    ],
)
def test_differences(known: dict[str, dict[str, Any]], declared: tuple[str, ...], expected: list[str]) -> None:
    found = differences(known, declared)
    assert len(found) == len(expected)
    assert all(line.startswith(begin) for line, begin in zip(found, expected, strict=True)), found


def test_no_value_of_a_variable_is_in_a_line() -> None:
    (line,) = differences({"a": facts(MLX_A="hunter2"), "b": facts(), "c": facts(MLX_A="hunter3")})
    assert "hunter" not in line

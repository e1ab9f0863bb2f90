"""What differs between hosts is told in one line each."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._compare import differences


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
            ["MLX_A differs between hosts: '1' on a; '2' on b; set it with --env or mlx_env"],
        ),
        ({"a": facts(MLX_A="1"), "b": facts(), "c": facts()}, (), ["MLX_A differs between hosts: '1' on a; unset on b, c; set it"]),
        ({"a": facts(MLX_A=""), "b": facts()}, (), ["MLX_A differs between hosts: '' on a; unset on b;"]),
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


def test_value_of_several_lines_stays_on_one() -> None:
    (line,) = differences({"a": facts(MLX_A="1\n2"), "b": facts()})
    assert len(line.splitlines()) == 1

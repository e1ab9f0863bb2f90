"""Differences between hosts are reported in one line each."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host_drift import MOST, differences


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
    assert all(line.startswith(begin) for (_host, line), begin in zip(found, expected, strict=True)), found


def test_no_value_of_a_variable_is_in_a_line() -> None:
    [(_host, line)] = differences({"a": facts(MLX_A="hunter2"), "b": facts(), "c": facts(MLX_A="hunter3")})
    assert "hunter" not in line


@pytest.mark.parametrize(
    ("known", "odd"),
    [
        ({"a": facts(A="1"), "b": facts(A="2"), "c": facts(A="2")}, "a"),
        ({"a": facts(A="1"), "b": facts(), "c": facts(A="1")}, "b"),
        ({"a": facts(A="1"), "b": facts()}, "a"),
        ({"a": facts(), "b": facts(A="1")}, "b"),
        ({"a": facts(A="1"), "b": facts(A="2")}, "b"),
        ({"a": facts("/x"), "b": facts("/y"), "c": facts("/y")}, "a"),
    ],
)
def test_difference_is_that_of_the_host_that_is_not_as_most(known: dict[str, dict[str, Any]], odd: str) -> None:
    assert [host for host, _line in differences(known)] == [odd]


@pytest.mark.parametrize("others", [("b",), ("b", "c")])
@pytest.mark.parametrize("last", [False, True])
def test_host_that_differs_in_everything_hides_no_other_difference(others: tuple[str, ...], last: bool) -> None:
    many = {f"A{number}": "1" for number in range(60_000)}
    honest = {host: facts(Z=host) for host in others}
    known = {**honest, "liar": facts(**many)} if last else {"liar": facts(**many), **honest}
    found = differences(known)
    assert len(found) <= MOST + 2
    assert sum("Z differs" in line for _host, line in found) == 1
    [more] = [(host, line) for host, line in found if line.startswith("and ")]
    assert more == ("liar", f"and {60_000 - MOST} more variables differ between hosts")

"""A rank gets the variables its backend needs, and the user's unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import check_backend, check_env, parse_env, plan_rank
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ranktable import build_rank_table

from .jobs import ranks_on

ODD_VALUES = ["", " ", "a b", "'", '"', "$HOME", "`id`", "a\nb", "\t", "é 日本 🎉", "a=b", "\\", "*", "\udcff", "x" * 100_000]


def test_identity_of_a_rank() -> None:
    table = ranks_on("a", "b", "b")
    assert plan_rank(table.ranks[2], table, {}).env == {
        "PYTHONUNBUFFERED": "1",
        "MLX_RANK": "2",
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "32326",
    }


def test_ring_hostfile_goes_into_a_file() -> None:
    table = ranks_on("a", "b")
    assert plan_rank(table.ranks[0], table, {}).files == {"MLX_HOSTFILE": table.ring_hostfile()}


def test_master_without_addresses_is_its_name() -> None:
    table = build_rank_table([("a", ()), ("b", ())])
    assert plan_rank(table.ranks[1], table, {}).env["MASTER_ADDR"] == "a"


def test_user_wins_over_conveniences_and_loses_to_the_backend() -> None:
    table = ranks_on("a")
    user = {"PYTHONUNBUFFERED": "0", "COLUMNS": "40", "MLX_RANK": "7", "MLX_RING_VERBOSE": "0", "X": "y"}
    env = plan_rank(table.ranks[0], table, user, verbose=True, terminal=(120, 50)).env
    assert {name: env[name] for name in user} == {
        "PYTHONUNBUFFERED": "0",
        "COLUMNS": "40",
        "MLX_RANK": "0",
        "MLX_RING_VERBOSE": "1",
        "X": "y",
    }
    assert env["LINES"] == "50"


@pytest.mark.parametrize("value", ODD_VALUES)
def test_value_arrives_unchanged(value: str) -> None:
    table = ranks_on("a")
    assert plan_rank(table.ranks[0], table, parse_env([f"K={value}"])).env["K"] == value
    assert check_env({"K": value}) == {"K": value}


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text().filter(lambda text: "\0" not in text)))
def test_any_environment_survives_the_command_line(env: dict[str, str]) -> None:
    assert parse_env(f"{name}={value}" for name, value in env.items()) == env


def test_last_of_a_name_counts() -> None:
    assert parse_env(["A=1", "B=2", "A=3"]) == {"A": "3", "B": "2"}


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (0.5, "0.5"), ("yes", "yes")])
def test_number_becomes_text(value: Any, text: str) -> None:
    assert check_env({"K": value}) == {"K": text}


@pytest.mark.parametrize("item", ["", "K", "K V", "MLX_SECRET:abc"])
def test_env_without_equals_sign_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match="^--env: .*want NAME=VALUE"):
        parse_env([item])


def test_refusal_does_not_repeat_a_long_value() -> None:
    with pytest.raises(UsageError) as caught:
        parse_env(["a-long-secret-whose-name-was-forgotten"])
    assert "forgotten" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "é", "A\n", "A.B", "$A"])
def test_name_no_environment_can_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="^--env: .*not a valid name"):
        parse_env([f"{name}=1"])


@pytest.mark.parametrize("name", [None, 1, True, ("A",)])
def test_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match="^mac-1: mlx_env: .*not a valid name"):
        check_env({name: "1"}, "mac-1: mlx_env")


@pytest.mark.parametrize("value", [None, True, False, ["a"], {"a": "b"}, b"a", object()])
def test_value_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="^mac-1: mlx_env: the value of K is .*quotes"):
        check_env({"K": value}, "mac-1: mlx_env")


def test_nul_byte_is_refused_without_showing_the_value() -> None:
    with pytest.raises(UsageError, match="^--env: the value of K contains a NUL byte$"):
        parse_env(["K=secret\0"])


def test_ring_is_supported() -> None:
    assert check_backend("ring") == "ring"


@pytest.mark.parametrize(("name", "part"), [("rign", "unknown backend 'rign'"), ("", "unknown backend ''"), ("RING", "unknown")])
def test_unknown_backend_is_refused_with_a_list(name: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"{part}.*: ring"):
        check_backend(name)

"""Variables for the ranks are names and texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.env import check_env, parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError


def test_last_item_of_a_name_counts_and_a_name_alone_is_empty() -> None:
    """As for mlx.launch."""
    assert parse_env(["A=1", "B", "A=x=y"]) == {"A": "x=y", "B": ""}
    assert parse_env(["A=1", "B=2", "A=3"]) == {"A": "3", "B": "2"}


def test_numbers_become_text() -> None:
    assert check_env({"A": 1, "B": 0.5, "C": "yes"}) == {"A": "1", "B": "0.5", "C": "yes"}


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"1A": "x"}, "mlx_env: '1A' is not a valid name: letters, digits and _ only, no digit first"),
        ({"JACCL_RANK": "0"}, "mlx_env: MLX would take JACCL_RANK in place of the variable that the job sets"),
        ({7: "x"}, "mlx_env: 7 is not a valid name"),
        ({"A": True}, "mlx_env: the value of A is True; want text, in quotes"),
        ({"A": None}, "mlx_env: the value of A is None"),
        ({"A": "x\0"}, "mlx_env: the value of A contains a NUL byte"),
        ({"A": "x\ud800"}, "mlx_env: the value of A contains half of a surrogate pair"),
    ],
)
def test_wrong_variable_is_refused(env: dict[object, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_env(env, "mlx_env")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("item", ["hunter-2", "a-long-secret-whose-name-was-forgotten"])
def test_item_without_a_name_is_not_shown(item: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_env(["A=1", item])
    assert str(caught.value) == "--env: item 2: want NAME=VALUE"


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text().filter(lambda text: "\0" not in text)))
def test_any_environment_survives_the_command_line(env: dict[str, str]) -> None:
    assert parse_env(f"{name}={value}" for name, value in env.items()) == env


@pytest.mark.parametrize("item", ["", "K V", "MLX_SECRET:abc"])
def test_env_without_a_name_or_an_equals_sign_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match="^--env: .*want NAME=VALUE"):
        parse_env([item])


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

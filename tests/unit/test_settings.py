"""Every setting is checked, whatever Python, YAML or a command line deliver."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import (
    BY_NAME,
    RUN_SETTINGS,
    SETTINGS,
    JobSettings,
    check_settings,
    check_slots,
)

NAN, INF = float("nan"), float("inf")


def refusal(**given: Any) -> str:
    """Return the message with which settings are refused; a script is given unless the case is about it."""
    with pytest.raises(UsageError) as caught:
        check_settings({"script": "train.py", **given})
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def checked(**given: Any) -> JobSettings:
    return check_settings({"script": "train.py", **given})


def test_defaults_are_the_same_in_table_and_settings() -> None:
    assert checked() == JobSettings(script="train.py")
    assert {setting.name for setting in RUN_SETTINGS} == {field.name for field in dataclasses.fields(JobSettings)}


def test_each_setting_has_one_name_one_variable_and_a_sentence() -> None:
    assert len(BY_NAME) == len(SETTINGS)
    assert BY_NAME["starting_port"].variable == "mlx_starting_port"
    assert all(setting.doc.endswith(".") for setting in SETTINGS)
    flags = [flag for setting in SETTINGS for flag in setting.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize("setting", RUN_SETTINGS, ids=lambda setting: setting.name)
def test_null_and_empty_mean_the_default(setting: Any) -> None:
    base = {"command": ["true"]} if setting.name == "script" else {"script": "train.py"}
    default = getattr(check_settings(base), setting.name)
    assert getattr(check_settings({**base, setting.name: None}), setting.name) == default
    if setting.type != "str":
        assert getattr(check_settings({**base, setting.name: ""}), setting.name) == default


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("starting_port", "8080", 8080),
        ("starting_port", 65535, 65535),
        ("starting_port", 1, 1),
        ("starting_port", 8080.0, 8080),
        ("connections_per_ip", "4", 4),
        ("grace", "0.5", 0.5),
        ("grace", 0, 0.0),
        ("timeout", "1e3", 1000.0),
        ("verbose", "yes", True),
        ("verbose", "False", False),
        ("prefix", 1, True),
        ("args", "--lr 1e-3 'a b'", ("--lr", "1e-3", "a b")),
        ("args", ["--lr", 0.001, "a b", "$HOME", "é\n", ""], ("--lr", "0.001", "a b", "$HOME", "é\n", "")),
        ("env", {"A": "a b\n$'\"é", "B": 1}, {"A": "a b\n$'\"é", "B": "1"}),
        ("cwd", "/a b/é", "/a b/é"),
        ("log_dir", "~/runs", "~/runs"),
    ],
)
def test_value_is_taken_as_yaml_or_a_command_line_gives_it(name: str, value: Any, expected: Any) -> None:
    assert getattr(checked(**{name: value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("backend", "rign", "unknown backend 'rign'"),
        ("backend", True, "--backend"),
        ("starting_port", 0, "--starting-port 0"),
        ("starting_port", 70000, "--starting-port 70000"),
        ("starting_port", -1, "--starting-port -1"),
        ("starting_port", "http", "--starting-port: 'http'"),
        ("starting_port", 80.5, "--starting-port: 80.5"),
        ("starting_port", True, "--starting-port: True"),
        ("starting_port", [80], "--starting-port: [80]"),
        ("starting_port", INF, "--starting-port: inf"),
        ("starting_port", NAN, "--starting-port: nan"),
        ("starting_port", 10**400, "--starting-port: 1000"),
        ("connections_per_ip", 0, "--connections-per-ip 0"),
        ("connections_per_ip", "two", "--connections-per-ip: 'two'"),
        ("grace", -1, "--grace -1"),
        ("grace", NAN, "--grace: nan"),
        ("grace", INF, "--grace: inf"),
        ("grace", "nan", "--grace: 'nan'"),
        ("grace", True, "--grace: True"),
        ("grace", {}, "--grace: {}"),
        ("timeout", -0.5, "--timeout -0.5"),
        ("timeout", "1h", "--timeout: '1h'"),
        ("timeout", 10**400, "--timeout: 1000"),
        ("lease", 0, "--lease 0"),
        ("lease", NAN, "--lease: nan"),
        ("connect_timeout", 0.5, "--connect-timeout 0.5"),
        ("verbose", "perhaps", "--verbose: 'perhaps'"),
        ("verbose", [], "--verbose: []"),
        ("prefix", 2, "--prefix: 2"),
        ("args", "'unbalanced", "mlx_args"),
        ("args", {"a": 1}, "mlx_args"),
        ("args", [["a"]], "mlx_args"),
        ("args", [None], "mlx_args"),
        ("args", ["a\0"], "mlx_args"),
        ("args", ["--x", True], "mlx_args: ['--x', True]"),
        ("args", b"ab", "mlx_args"),
        ("args", 7, "mlx_args: 7"),
        ("script", ["train.py"], "mlx_script: ['train.py']"),
        ("script", True, "mlx_script: True"),
        ("cwd", b"/", "--cwd"),
        ("cwd", "/a\0", "--cwd"),
        ("log_dir", {}, "--log-dir: {}"),
        ("env", ["A=1"], "--env: ['A=1']"),
        ("env", "A=1", "--env: 'A=1'"),
        ("env", {"1A": "x"}, "--env: '1A' is not a valid name"),
        ("env", {"A": None}, "--env: the value of A is None"),
        ("lerase", 1, "unknown setting: lerase"),
        ("slots", 2, "unknown setting: slots"),
        ("command", ["true"], "not both"),
    ],
)
def test_bad_value_is_one_line_that_names_the_setting(name: str, value: Any, part: str) -> None:
    assert part in refusal(**{name: value})


def test_script_or_command_is_needed() -> None:
    with pytest.raises(UsageError, match="no script is given"):
        check_settings({})
    assert check_settings({"command": "echo 'a b'"}).command == ("echo", "a b")


@pytest.mark.parametrize(("value", "slots"), [(1, 1), ("4", 4), (8.0, 8)])
def test_slots_are_counted(value: Any, slots: int) -> None:
    assert check_slots(value, "mac-1") == slots


@pytest.mark.parametrize("value", [0, -1, "two", None, 1.5, True, [1], INF, NAN, 10**400])
def test_bad_slots_name_host_and_value(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        check_slots(value, "mac-1")
    assert str(caught.value).startswith(f"mac-1: mlx_slots: {value!r}")

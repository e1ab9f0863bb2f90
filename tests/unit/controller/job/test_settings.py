"""Every setting is checked, whatever Python, YAML or a command line deliver."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError, naming_options
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import (
    BY_NAME,
    RUN_SETTINGS,
    SETTINGS,
    JobSettings,
    check_settings,
    check_slots,
)
from tests.support.refusals import refusal

NAN, INF = float("nan"), float("inf")


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


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [("args", [], True), ("args", ["a"], False), ("grace", 10, True), ("grace", 0, False), ("sync", True, True), ("sync", False, False)],
)
def test_default_is_known_in_any_form(name: str, value: Any, default: bool) -> None:
    assert BY_NAME[name].is_default(value) is default


def test_settings_that_are_read_for_each_host() -> None:
    assert {setting.name for setting in SETTINGS if setting.per_host} == {"env", "python", "ips", "slots", "rdma"}


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
        ("prefix", " On ", True),
        ("sync", "n", False),
        ("keep", "1e1", 10),
        ("keep", " 2.0 ", 2),
        ("args", '["--lr", 0.001]', ("--lr", "0.001")),
        ("exclude", "['[ab]*']", ("[ab]*",)),
        ("env", '{"A": "1"}', {"A": "1"}),
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
        ("args", "[--lr", "mlx_args: this is text that begins with ["),
        ("command", '{"a": 1}', "mlx_command: a mapping is not a list of words"),
        ("env", "{A", "--env: this is text that begins with {"),
        ("exclude", "[ab", """use YAML or -e '{"mlx_exclude": [...]}'"""),
        ("env", "A=1", "--env: text is not a mapping"),
        ("keep", "1e999999999", "--keep: '1e999999999' is not a whole number"),
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
        ("args", "'unbalanced", "mlx_args: text with a quote that is not closed is not a list of words"),
        ("args", {"a": 1}, "mlx_args: a mapping is not a list of words"),
        ("args", [["a"]], "mlx_args: a list with a list in it is not a list of words"),
        ("args", [None], "mlx_args: a list with None in it is not a list of words"),
        ("args", ["a\0"], "mlx_args: item 1 contains a NUL byte"),
        ("command", ["echo", "\ud800"], "mlx_command: item 2 contains half of a surrogate pair, which no file system takes"),
        ("command", "echo \ud800", "mlx_command: the text contains half of a surrogate pair"),
        ("env", {"A": "\ud800"}, "--env: the value of A contains half of a surrogate pair"),
        ("args", ["--x", True], "mlx_args: a list with True in it is not a list of words (true and false want quotes)"),
        ("args", False, "mlx_args: False is not a list of words (true and false want quotes)"),
        ("args", b"ab", "mlx_args: bytes is not a list of words"),
        ("args", object(), "mlx_args: a value of type object is not a list of words"),
        ("index_url", ["x"], "--index-url: a list is not text"),
        ("index_url", "x\0", "--index-url: the text contains a NUL byte"),
        ("exclude", [True], "--exclude: [True] is not a list of words (true and false want quotes)"),
        ("script", ["train.py"], "mlx_script: ['train.py']"),
        ("script", True, "mlx_script: True"),
        ("cwd", b"/", "--cwd"),
        ("cwd", "/a\0", "--cwd: the text contains a NUL byte"),
        ("log_dir", {}, "--log-dir: {}"),
        ("root", "/opt/a\nb", "--root '/opt/a\\nb': want a path without control characters"),
        ("env", ["A=canary"], "--env: a list is not"),
        ("env", "A=canary", "--env: text is not"),
        ("env", {"A": ["canary"]}, "--env: the value of A is a list"),
        ("mpi_args", ["-x A='canary"], "--mpi-arg: item 1: a quote is not closed"),
        ("mpi_args", ["--mca mca_base_env_list A=canary"], "--mpi-arg mca_base_env_list: give variables by --env or -x"),
        ("env", {"1A": "x"}, "--env: '1A' is not a valid name"),
        ("env", {"A": None}, "--env: the value of A is None"),
        ("lerase", 1, "unknown setting: lerase"),
        ("slots", 2, "unknown setting: slots"),
        ("command", ["true"], "not both"),
    ],
)
def test_bad_value_is_one_line_that_names_the_setting(name: str, value: Any, part: str) -> None:
    assert part in refusal(checked, **{name: value})


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


def test_auto_is_a_word_and_no_number() -> None:
    assert check_settings({"script": "x", "starting_port": "auto"}).starting_port is None
    with pytest.raises(UsageError, match="automatic"):
        check_settings({"script": "x", "starting_port": "automatic"})


@pytest.mark.parametrize(
    ("given", "by_flag", "by_variable"),
    [
        ({"timeout": "abc"}, "--timeout: 'abc'", "mlx_timeout: 'abc'"),
        ({"timeout": -1}, "--timeout -1:", "mlx_timeout -1:"),
        ({"lease": 0}, "--lease 0:", "mlx_lease 0:"),
        ({"keep": -1}, "--keep -1:", "mlx_keep -1:"),
        ({"starting_port": 0}, "--starting-port 0:", "mlx_starting_port 0:"),
        ({"connections_per_ip": 0}, "--connections-per-ip 0:", "mlx_connections_per_ip 0:"),
        ({"mpi_agent": "x"}, "--mpi-agent x:", "mlx_mpi_agent x:"),
        ({"share": "x"}, "--share x:", "mlx_share x:"),
        ({"root": "x"}, "--root x:", "mlx_root x:"),
        ({"root": "/\t"}, "--root '/", "mlx_root '/"),
        ({"mpirun": "x"}, "--mpirun x:", "mlx_mpirun x:"),
        ({"trust_owner": "a b"}, "--trust-owner: ", "mlx_trust_owner: "),
        ({"stdin": "x"}, "--stdin x:", "mlx_stdin x:"),
        ({"tty": True, "stdin": "none"}, "--tty and --stdin none:", "mlx_tty and mlx_stdin none:"),
        ({"env": {"B": True}}, "--env: the value of B", "mlx_env: the value of B"),
        ({"mpi_args": ["'"]}, "--mpi-arg: item 1:", "mlx_mpi_args: item 1:"),
        ({"mpi_args": ["-x", "1=2"]}, "--mpi-arg -x: ", "mlx_mpi_args -x: "),
        ({"mpi_args": ["mca_base_env_list"]}, "--mpi-arg mca_base_env_list: give variables by --env ", "mlx_mpi_args mca_base_env_list: "),
    ],
)
def test_error_names_a_setting_by_the_way_it_came(given: dict[str, Any], by_flag: str, by_variable: str) -> None:
    assert refusal(lambda: checked(**given)).startswith(by_flag)
    with naming_options(by_flag=False):
        said = refusal(lambda: checked(**given))
    assert said.startswith(by_variable)
    assert "--" not in said


@pytest.mark.parametrize(("value", "words"), [(5, ("5",)), (1.5, ("1.5",)), ([1, "a"], ("1", "a")), ("5", ("5",))])
def test_number_is_one_word(value: Any, words: tuple[str, ...]) -> None:
    assert checked(args=value).args == words


@pytest.mark.parametrize("value", [{"a": 1}, [None], "'x"])
def test_hint_about_truth_values_is_there_for_them_only(value: Any) -> None:
    assert "true and false" not in refusal(checked, args=value)


def test_bytes_that_are_no_text_are_carried() -> None:
    odd = os.fsdecode(b"\xff")
    settings = check_settings({"command": ["echo", odd], "env": {"A": odd}, "cwd": f"/{odd}"})
    assert (settings.command[1], settings.env["A"], settings.cwd) == (odd, odd, f"/{odd}")

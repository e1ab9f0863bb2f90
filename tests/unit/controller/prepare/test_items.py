"""The items of a preparation: their values from flags, options and variables of each host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import BY_NAME, check_item, wishes_of

SAFE = {"sleep": True, "power_failure": True, "firewall": True}


def test_without_any_word_only_what_is_safe_is_on() -> None:
    assert wishes_of({}, {}, "a") == SAFE


def test_variables_of_a_host_are_its_own() -> None:
    variables = {"mlx_prepare_sleep": "no", "mlx_prepare_wired_limit": "98304", "mlx_prepare_linger": True, "mlx_prepare_other": 1}
    found = wishes_of({}, variables, "a")
    assert found == {"power_failure": True, "firewall": True, "wired_limit": 98304, "linger": True}


def test_given_value_is_stronger_than_the_variable() -> None:
    variables = {"mlx_prepare_sleep": False, "mlx_prepare_open_files": 1024}
    assert wishes_of({"sleep": True, "open_files": "off", "linger": None}, variables, "a") == SAFE


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("sleep", value, True) for value in (True, "yes", "on", 1)),
        *(("sleep", value, None) for value in (False, "no", "off", 0)),
        *(("open_files", value, None) for value in ("", "off", "OFF", False, None)),
        *(("open_files", value, 65536) for value in (65536, "65536", 65536.0)),
        ("processes", "1e4", 10000),
        ("wired_limit", "Auto ", "auto"),
        ("wired_limit", 1024, 1024),
        ("open_files", 2**31 - 1, 2**31 - 1),
    ],
)
def test_value_may_be_told_in_several_ways(name: str, value: Any, expected: Any) -> None:
    assert check_item(BY_NAME[name], value, "x") == expected


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sleep", "maybe", "--sleep: 'maybe' is not yes or no"),
        ("sleep", 2, "--sleep: 2 is not yes or no"),
        ("wired_limit", "all", "--wired-limit: 'all': want auto, off, or a number of MB from 1024 to 2147483647"),
        # Somebody thinks of GB.
        ("wired_limit", 96, "--wired-limit: 96: want auto, off, or a number of MB from 1024"),
        ("wired_limit", -1, "--wired-limit: -1: want"),
        ("wired_limit", True, "--wired-limit: True: want"),
        ("wired_limit", [4096], "--wired-limit: .*: want"),
        ("open_files", "auto", "--open-files: 'auto': want off, or a number of files from 256"),
        ("open_files", 0, "--open-files: 0: want off"),
        ("processes", 2**31, "--processes: 2147483648: want off, or a number of processes"),
        ("processes", 512.5, "--processes: 512.5: want"),
        ("processes", float("nan"), "--processes: nan: want"),
    ],
)
def test_wrong_value_is_told_with_those_that_would_do(name: str, value: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        wishes_of({name: value}, {}, "a")


def test_wrong_variable_is_told_with_its_host() -> None:
    with pytest.raises(UsageError, match=r"^mac-2: mlx_prepare_processes: 'many': want off, or a number of processes from 256"):
        wishes_of({}, {"mlx_prepare_processes": "many"}, "mac-2")

# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Complaints of pip and uv are explained to a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from packaging.utils import canonicalize_name

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.pip import (
    canonical_name,
    config_files,
    configured,
    explain,
    pip_install,
    source_variables,
    sources,
    uv_install,
    variables,
)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: failed to write to file\n  Caused by: No space left on device (os error 28)", "the disk is full"),
        (
            "Retrying after 'Temporary failure in name resolution'\nERROR: No matching distribution found for mlx==0.32.4",
            "no name resolution",
        ),
        ("ERROR: No matching distribution found for mlx==0.32.4", "there is no wheel of mlx==0.32.4 for HERE"),
        ("The virtual environment was not created successfully because ensurepip is not\navailable.", "cannot make environments"),
        ("a\nb\nc", "a\nb\nc"),
    ],
)
def test_cause_of_a_failure_is_told_with_the_last_lines(said: str, cause: str) -> None:
    told = explain(said, "HERE")
    assert cause in told
    assert said.splitlines()[-1] in told


ADDRESS = "https://ada:canary@pkg.example/simple?token=canary"
OPTIONS = [
    *("--index-url", "https://old"),
    *("--index-url", ADDRESS),
    *("--extra-index-url", f"{ADDRESS}&1", "--extra-index-url", f"{ADDRESS}&2"),
    *("--find-links", f"{ADDRESS}&a,b", "--find-links", "/here/two words"),
    *("--trusted-host", "pkg.example", "--no-index"),
]


@pytest.mark.parametrize(("index_url", "options"), [(ADDRESS, OPTIONS), (ADDRESS, []), ("", OPTIONS)])
@pytest.mark.parametrize("command", [pip_install, uv_install])
def test_address_of_an_index_is_in_no_command_line(command: Callable[..., list[str]], index_url: str, options: list[str]) -> None:
    words = sources("", index_url, options, [])
    more = ("copy",) if command is uv_install else ()
    before = ("/uv",) if command is uv_install else ()
    assert "canary" not in str(command(*before, "/python", "/lock", words, *more))
    assert source_variables(index_url, options)["UV_DEFAULT_INDEX"] == ADDRESS


def test_options_of_a_lock_go_by_the_variables_of_pip_and_uv() -> None:
    assert sources("", "", OPTIONS, []) == ["--find-links", "/here/two words", "--trusted-host", "pkg.example", "--no-index"]
    assert source_variables("", OPTIONS) == {
        **dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), ADDRESS),
        **dict.fromkeys(("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"), f"{ADDRESS}&1 {ADDRESS}&2"),
        "PIP_FIND_LINKS": f"{ADDRESS}&a,b",
        "UV_FIND_LINKS": f"{ADDRESS}&a%2Cb",
    }
    assert source_variables("https://pkg", OPTIONS) == dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), "https://pkg")
    assert source_variables("", []) == {}


def test_complaints_have_no_credentials() -> None:
    assert "canary" not in explain(f"Looking in indexes: {ADDRESS}\nERROR: No matching distribution found for mlx==1", "HERE")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["[global]\nindex-url = a\n", "[global]\nindex-url = b\n"], {"PIP_INDEX_URL": "b"}),
        (["[install]\nindex_url = a\n", "[global]\nindex-url = b\n"], {"PIP_INDEX_URL": "a"}),
        (["[download]\nindex-url = a\n", "no section\n"], {}),
        (["[global]\ntarget = /x\ndry-run = true\nproxy = p\n"], {"PIP_PROXY": "p"}),
        (["[global]\nextra-index-url =\n    a\n    b\n"], {"PIP_EXTRA_INDEX_URL": "\na\nb"}),
    ],
)
def test_configuration_counts_as_far_as_it_leads_to_an_index(texts: list[str], found: dict[str, str]) -> None:
    assert configured(texts, "install") == found


def test_configuration_files_are_where_pip_has_them() -> None:
    assert config_files({}, "/home/ada", "/venv", "Linux") == [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        "/home/ada/.pip/pip.conf",
        "/home/ada/.config/pip/pip.conf",
        "/venv/pip.conf",
    ]
    assert "/Users/ada/Library/Application Support/pip/pip.conf" in config_files({}, "/Users/ada", "/venv", "Darwin")
    assert config_files({"PIP_CONFIG_FILE": "/dev/null"}, "/home/ada", "/venv", "Linux") == []
    assert config_files({"PIP_CONFIG_FILE": "/x"}, "/home/ada", "/venv", "Linux")[-2:] == ["/venv/pip.conf", "/x"]


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        (("", "", []), {"PIP_INDEX_URL": "a", "UV_INDEX": "b", "UV_INDEX_X_PASSWORD": "p", "PIP_NO_INDEX": "1"}),
        (("", "", ["--no-index"]), {"PIP_INDEX_URL": "a", "UV_INDEX": "b", "UV_INDEX_X_PASSWORD": "p"}),
        (("", "c", []), {"PIP_INDEX_URL": "c", "UV_INDEX_URL": "c", "UV_DEFAULT_INDEX": "c", "UV_INDEX_X_PASSWORD": "p"}),
        (("/wheels", "", []), {}),
    ],
    ids=["configured", "of a lock", "of a setting", "wheels"],
)
def test_variables_lead_to_one_origin(place: tuple[str, str, list[str]], kept: dict[str, str]) -> None:
    inherited = {"HOME": "/", "PIP_INDEX_URL": "a", "UV_INDEX": "b", "UV_INDEX_X_PASSWORD": "p", "UV_TARGET": "/x", "PIP_USER": "1"}
    found = variables(inherited, {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "of a file"}, *place)
    assert found == {"HOME": "/", "PIP_CONFIG_FILE": "/dev/null", **kept}


@pytest.mark.parametrize("name", ["Foo.Bar-baz", "foo_bar.baz", "FOO--bar__baz", "foo-_.bar-baz"])
def test_spellings_of_a_name_are_one(name: str) -> None:
    assert canonical_name(name) == canonicalize_name(name) == "foo-bar-baz"

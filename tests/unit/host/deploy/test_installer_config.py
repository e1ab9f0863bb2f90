# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of the configuration files of pip and uv, only the way to an index counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.installer_config import of_pip, of_uv, uv_files, variables_of
from tests.unit.environments import run


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ({}, {}),
        ({"offline": True, "pip": {"target": "/x"}}, {}),
        ({"extra-index-url": ["https://b", "https://c"]}, {"UV_EXTRA_INDEX_URL": "https://b https://c"}),
        ({"find-links": ["/a", "/b"], "no-index": True}, {"UV_FIND_LINKS": "/a,/b", "UV_NO_INDEX": "true"}),
        ({"index-url": "https://a", "pip": {"index-url": "https://b"}}, {"UV_DEFAULT_INDEX": "https://b"}),
        ({"index": [{"name": "x", "url": "https://a"}, {"url": "https://b"}]}, {"UV_INDEX": "x=https://a https://b"}),
        ({"index": [{"name": "x", "url": "https://a", "default": True}]}, {"UV_DEFAULT_INDEX": "x=https://a"}),
        ({"index": [{"name": "x", "url": "https://a", "explicit": True}]}, {}),
        ({"index": "https://a", "pip": 3}, {}),
    ],
)  # fmt: skip
def test_uv_toml_gives_the_way_to_an_index(content: dict[str, object], variables: dict[str, str]) -> None:
    assert variables_of(content) == variables


def test_uv_files_follow_the_variables_of_uv() -> None:
    assert uv_files({"UV_CONFIG_FILE": "/x/uv.toml", "XDG_CONFIG_HOME": "/y"}) == ["/x/uv.toml"]
    assert uv_files({"XDG_CONFIG_HOME": "/y"})[-1] == "/y/uv/uv.toml"


def test_uv_toml_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "uv.toml"
    file.write_text("index-url = 'https://a'\n")
    assert of_uv(sys.executable, run, {"UV_CONFIG_FILE": str(file)}) == ({"UV_DEFAULT_INDEX": "https://a"}, [])
    file.write_text("no TOML")
    found, (warning,) = of_uv(sys.executable, run, {"UV_CONFIG_FILE": str(file)})
    assert found == {}
    assert f"{file} is not followed" in warning


def test_files_of_pip_are_read(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://a\nuser = true\n[install]\nindex-url = https://b\n")
    found = of_pip("/nowhere", {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    assert found["PIP_INDEX_URL"] == "https://b"
    assert "PIP_USER" not in found
    assert of_pip(str(tmp_path), {"PIP_CONFIG_FILE": "/dev/null"}) == {}

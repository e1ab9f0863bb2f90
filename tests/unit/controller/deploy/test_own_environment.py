"""The controller's environment: when a copy of it cannot run on a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.own_environment import (
    OwnEnvironment,
    difference,
    own_environment,
    reasons_not_to_copy,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

LINUX = {"system": "Linux", "machine": "x86_64"}
DESCRIPTION = {"python": "3.12.4", "implementation": "cpython", "platform": LINUX}
OWN = OwnEnvironment("/venv", "/usr/bin/python3.12", DESCRIPTION, "d", {}, False)
HOST: dict[str, Any] = {"version": "3.12.4", "implementation": "cpython", "platform": LINUX}


def test_python_outside_an_environment_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a virtual environment"):
        own_environment(str(tmp_path))


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (replace(OWN, shared=True), "/venv uses the packages of its base interpreter too"),
        (replace(OWN, outside={"mine": "/src/mine"}), "mine is installed editable: its files are in /src/mine"),
    ],
)
def test_reason_not_to_copy_is_named(own: OwnEnvironment, reason: str) -> None:
    [found] = reasons_not_to_copy(own)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (HOST, ""),
        ({**HOST, "platform": {**LINUX, "machine": "aarch64"}}, "the host is Linux aarch64, the controller Linux x86_64"),
        ({**HOST, "version": "3.12.5"}, "/usr/bin/python3.12 is Python 3.12.5, on the controller 3.12.4"),
    ],
)
def test_difference_of_a_host_is_named(host: dict[str, Any], reason: str) -> None:
    assert difference(OWN, host) == reason


def test_this_package_may_be_installed_from_a_checkout() -> None:
    assert reasons_not_to_copy(replace(OWN, outside={"mlxlaunch-ansible": "/src"})) == []

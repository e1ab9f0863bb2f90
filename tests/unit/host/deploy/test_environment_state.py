# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an environment is read from its record, and no record that does not fit makes it complete."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_state import base_mark, base_of, path_of, state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import Owners
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import FORMAT

KEY = "0123456789abcdef"
ASKED = ["sha", "3.12"]


@pytest.fixture
def environment(root: Path) -> Path:
    """Give a complete environment, with the name of one package."""
    path = Path(path_of(str(root), KEY))
    (path / "bin").mkdir(parents=True)
    (path / "bin/python").symlink_to(sys.executable)
    (path / "lib/python3.12/site-packages/tiny-1.0.dist-info").mkdir(parents=True)
    record = {"format": FORMAT, "key": KEY, "metadata": ["tiny-1.0.dist-info"], "asked": ASKED}
    write(path, {**record, "base": {"path": sys.executable, "version": "3.12.4"}, "base_mark": base_mark(str(path))})
    return path


def write(path: Path, record: Any) -> None:
    (path / ".mlxlaunch.json").write_text(json.dumps(record))


def test_environment_that_is_not_there_is_absent(root: Path) -> None:
    assert state(str(root), KEY) == "absent"


def install_by_hand(path: Path) -> None:
    (path / "lib/python3.12/site-packages/more-2.0.dist-info").mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no record": lambda path: (path / ".mlxlaunch.json").unlink(),
    "no JSON": lambda path: (path / ".mlxlaunch.json").write_text("{"),
    "a list": lambda path: write(path, []),
    "nested without end": lambda path: (path / ".mlxlaunch.json").write_text("[" * 10**5),
    "no interpreter": lambda path: (path / "bin/python").unlink(),
    "another package": install_by_hand,
    "no packages": lambda path: shutil.rmtree(path / "lib"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_only_what_was_completed_is_complete(root: Path, environment: Path, damage: Callable[[Path], object]) -> None:
    assert state(str(root), KEY) == "complete"
    damage(environment)
    assert state(str(root), KEY) == "incomplete"


def test_base_interpreter_of_the_same_request_is_known_while_it_is_the_same_file(root: Path, environment: Path) -> None:
    roots = [f"{root}-none", str(root)]
    assert base_of(roots, *ASKED, Owners()) == {"path": sys.executable, "version": "3.12.4"}
    assert base_of(roots, "sha", "3.13", Owners()) is None
    (environment / "bin/python").unlink()
    (environment / "bin/python").write_text("another")
    assert base_of(roots, *ASKED, Owners()) is None

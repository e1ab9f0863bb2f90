"""Lines on versions that do not fit: of ansible-core, of the package, and of another copy of the collection."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job import version
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import (
    VERSION,
    greeting,
    is_too_old,
    is_untested,
    mismatch,
    other_copy,
    other_core,
)

HERE = greeting()["collection"]


@pytest.mark.parametrize(
    ("core", "too_old", "untested"),
    [
        ("2.18.19", True, False),
        ("2.9.27", True, False),
        ("2.19.0b1", False, False),
        ("2.19.0", False, False),
        ("2.21.99", False, False),
        ("2.22.0rc1", False, True),
        ("2.22.0.dev0", False, True),
        ("3.0.0", False, True),
        ("10.1", False, True),
    ],
)
def test_tested_versions_of_ansible_core_are_a_range(core: str, too_old: bool, untested: bool) -> None:
    assert (is_too_old(core), is_untested(core)) == (too_old, untested)


def test_line_on_ansible_core_names_both_versions_and_the_way_back() -> None:
    assert other_core("2.22.0rc1") == (
        f"ansible-core 2.22.0rc1 is newer than those that mlxlaunch.cluster {VERSION} is tested with, 2.19 to 2.21; "
        "pip install 'ansible-core>=2.19,<2.22' brings one of them"
    )
    assert other_core("2.18.0").startswith("ansible-core 2.18.0 is older than those ")


def test_lines_on_other_installations_name_both_places() -> None:
    assert f"mlxlaunch.cluster {VERSION} in {HERE} is used, and 0.9.0 in /b is not; remove one" in other_copy("0.9.0", "/b")
    assert ", and another version in /b is not" in other_copy("", "/b")
    other = mismatch("mlxlaunch", "0.9.0", "/b")
    assert other.startswith(f"mlxlaunch 0.9.0 in /b does not fit the collection mlxlaunch.cluster {VERSION} in {HERE};")


def test_file_can_be_read_by_an_old_python() -> None:
    # ansible-core 2.16 runs with 3.10, and has to come as far as the line that refuses it.
    source = Path(version.__file__).read_text()
    ast.parse(source, feature_version=(3, 9))
    assert not re.search(r"^from typing import", source, re.MULTILINE)

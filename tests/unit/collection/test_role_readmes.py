"""The README of each role is made from its argument specification."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.collection.documented import CHECKOUT, COLLECTION, load

ROLES = sorted((COLLECTION / "roles").iterdir())


def test_readmes_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "scripts/role_readmes.py", "--check"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_readme_has_a_row_for_each_variable(role: Path) -> None:
    arguments = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    text = (role / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(arguments)
    assert re.search(r"\b[A-Z]\(", text) is None, "markup of Ansible's is left"
    assert f"- role: mlxlaunch.cluster.{role.name}\n" in text

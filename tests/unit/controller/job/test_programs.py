"""Programs that an image for Ansible may lack, and the packages that have them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.programs import PACKAGES, how_to_get, is_here

BINDEP = Path(__file__).parents[4] / "collection" / "meta" / "ee-bindep.txt"


def test_builders_of_images_get_the_same_packages() -> None:
    lines = [line for line in BINDEP.read_text().splitlines() if not line.startswith("#")]
    named = {(platform, line.split()[0]) for line in lines for platform in re.findall(r"platform:(\w+)", line)}
    assert named == {(platform, name) for names in PACKAGES.values() for platform, name in zip(("dpkg", "rpm"), names, strict=True)}


def test_hint_names_the_packages_of_each_system() -> None:
    assert how_to_get("ssh") == "install it (Debian: openssh-client, Fedora and RHEL: openssh-clients), in an image for Ansible too"
    assert how_to_get("rsync") == "install it (rsync), in an image for Ansible too"


def test_program_is_looked_for_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "prog"
    program.touch(0o644)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert [is_here("prog"), is_here(os.fspath(program))] == [False, False]
    program.chmod(0o755)
    assert [is_here("prog"), is_here(os.fspath(program)), is_here("other")] == [True, True, False]

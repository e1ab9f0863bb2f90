"""`mlxlaunch --version`: what is used, where it is, and what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ansible
import pytest

import mlxlaunch_ansible
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import VERSION
from mlxlaunch_ansible.commands.terminal.versions import versions


def shown(folder: Path, **env: str) -> list[str]:
    """Return what the command prints with Ansible configured like that; it reads its configuration once per process."""
    argv = [sys.executable, "-m", "mlxlaunch_ansible", "--version"]
    own = {"HOME": str(folder), **env}
    return subprocess.run(argv, cwd=folder, env=own, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()


def test_versions_come_with_their_places() -> None:
    package, collection, core, python = list(versions())[:4]
    assert package == f"mlxlaunch {mlxlaunch_ansible.__version__} in {Path(mlxlaunch_ansible.__file__).parent}"
    assert collection.startswith(f"mlxlaunch.cluster {VERSION} in /")
    assert Path(collection.rpartition(" in ")[2], "playbooks", "launch.yml").exists()
    assert core == f"ansible-core {ansible.__version__} in {ansible.__path__[0]}"
    assert python == f"Python {sys.version.partition(' ')[0]} at {sys.executable}"


@pytest.mark.parametrize(("version", "lines"), [("0.9.0", 1), (VERSION, 0)])
def test_another_version_that_ansible_finds_first_is_named(tmp_path: Path, version: str, lines: int) -> None:
    place = tmp_path / ".ansible/collections/ansible_collections/mlxlaunch/cluster"
    place.mkdir(parents=True)
    (place / "galaxy.yml").write_text(f"version: {version}\n")
    misfits = shown(tmp_path)[4:]
    assert len(misfits) == lines
    assert all(f"ansible-playbook finds first, mlxlaunch.cluster 0.9.0 in {place} does not fit" in line for line in misfits)


def test_broken_configuration_of_ansible_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("nonsense")
    [line] = shown(tmp_path, ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"))[4:]
    assert line.startswith(f"Ansible does not start: Error reading config file ({tmp_path}/ansible.cfg)")

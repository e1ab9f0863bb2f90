"""Lines on an ansible-core that is not tested, and on other copies of the collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import VERSION
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.installation import explained, misfits, our_imports, warnings
from tests.lab.start import CHECKOUT

TESTED, OLD, NEW = "2.20.1", "2.18.3", "2.30.0"


def copy(folder: Path, name: str, text: str) -> str:
    """Make a directory with a copy of our collection that has this file; return the path where Ansible would look for it."""
    place = folder / "ansible_collections/mlxlaunch/cluster"
    place.mkdir(parents=True)
    (place / name).write_text(text)
    return str(folder)


def manifest(version: str) -> str:
    return json.dumps({"collection_info": {"version": version}})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MANIFEST.json", manifest("0.9.0"), "0.9.0"),
        ("galaxy.yml", "name: cluster\nversion: 2.0.0-rc.1\n", "2.0.0-rc.1"),
        ("galaxy.yml", "version: '0.8'\n", "0.8"),
        ("MANIFEST.json", "[", "another version"),
        ("MANIFEST.json", "[]", "another version"),
        ("galaxy.yml", "name: cluster\n", "another version"),
        ("README.md", "", "another version"),
        ("MANIFEST.json", manifest(VERSION), ""),
    ],
)
def test_copy_of_another_version_is_named_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = copy(tmp_path / "b", name, text)
    paths = [str(CHECKOUT / ".ansible"), str(tmp_path / "none"), path, path]
    lines = warnings(paths, TESTED)
    if not said:
        assert lines == []
        return
    [line] = lines
    assert f"mlxlaunch.cluster {VERSION} in " in line
    assert f" is used, and {said} in {path}/ansible_collections/mlxlaunch/cluster is not; " in line


def test_copy_that_cannot_be_read_is_named_too(tmp_path: Path) -> None:
    path = copy(tmp_path, "MANIFEST.json", manifest("0.9.0"))
    file = Path(path, "ansible_collections/mlxlaunch/cluster/MANIFEST.json")
    file.unlink()
    file.mkdir()
    assert "another version in" in warnings([path], TESTED)[0]


def test_misfit_is_what_ansible_finds_first(tmp_path: Path) -> None:
    other, ours = copy(tmp_path, "MANIFEST.json", manifest("0.9.0")), str(CHECKOUT / ".ansible")
    place = f"{other}/ansible_collections/mlxlaunch/cluster"
    [line] = misfits([str(tmp_path / "none"), other], TESTED)
    assert line.startswith(f"what ansible-playbook finds first, mlxlaunch.cluster 0.9.0 in {place} does not fit")
    assert misfits([ours, other], TESTED) == misfits([], TESTED) == []


@pytest.mark.parametrize("core", [OLD, NEW])
def test_misfit_is_an_ansible_core_that_is_not_tested(core: str) -> None:
    [line] = misfits([], core)
    assert line.startswith(f"ansible-core {core} is ")


def test_newer_core_is_a_warning_and_a_tested_one_is_none() -> None:
    assert warnings([], TESTED) == []
    assert warnings([], NEW)[0].startswith(f"ansible-core {NEW} is newer")


def test_older_core_is_refused_before_anything_is_imported() -> None:
    with pytest.raises(AnsibleError, match=f"ansible-core {OLD} is older"), our_imports(OLD):
        raise AssertionError("imported")


@pytest.mark.parametrize("error", [ImportError("cannot import name 'x'"), AttributeError("no attribute '_build_command'"), TypeError("x")])
def test_error_with_a_newer_core_names_that(error: Exception) -> None:
    with pytest.raises(AnsibleError, match=f"{type(error).__name__}: {error}; ansible-core {NEW} is newer"), explained(NEW):
        raise error
    with pytest.raises(type(error)) as raised, explained(TESTED):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("error", [AnsibleError("of Ansible"), UsageError("of ours")])
def test_error_that_has_its_own_line_keeps_it(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, explained(NEW):
        raise error
    assert raised.value is error

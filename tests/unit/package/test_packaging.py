"""Distribution, package and collection are one thing with one version."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import mlxlaunch_ansible
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import OLDEST_CORE, UNTESTED_CORE, VERSION

CHECKOUT = Path(__file__).parents[3]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
GALAXY = yaml.safe_load((CHECKOUT / "collection" / "galaxy.yml").read_text())


def test_collection_has_the_package_s_version() -> None:
    assert GALAXY["version"] == mlxlaunch_ansible.__version__ == VERSION


def test_version_has_release_notes() -> None:
    changelog = yaml.safe_load((CHECKOUT / "collection" / "changelogs" / "changelog.yaml").read_text())
    assert GALAXY["version"] in changelog["releases"]
    assert f"v{GALAXY['version']}\n" in (CHECKOUT / "collection" / "CHANGELOG.rst").read_text()


def test_collection_and_package_require_the_same_ansible_core() -> None:
    [required] = [text.removeprefix("ansible-core") for text in PROJECT["dependencies"] if text.startswith("ansible-core")]
    runtime = yaml.safe_load((CHECKOUT / "collection" / "meta" / "runtime.yml").read_text())
    oldest, untested = (".".join(map(str, numbers)) for numbers in (OLDEST_CORE, UNTESTED_CORE))
    assert required == f">={oldest},<{untested}"
    # Without an end: an installed archive works with a newer one too, and says that it is not tested.
    assert runtime["requires_ansible"] == f">={oldest}.0"
    roles = [yaml.safe_load(path.read_text())["galaxy_info"] for path in (CHECKOUT / "collection/roles").glob("*/meta/main.yml")]
    assert {role["min_ansible_version"] for role in roles} == {oldest}


def test_licence_is_the_same_everywhere() -> None:
    assert GALAXY["license"] == [PROJECT["license"]]
    assert (CHECKOUT / "LICENSE").read_text().lstrip().startswith("GNU GENERAL PUBLIC LICENSE")


def test_checkout_is_a_collection_through_the_link() -> None:
    link = CHECKOUT / ".ansible" / "ansible_collections" / "mlxlaunch" / "cluster"
    assert link.resolve() == (CHECKOUT / "collection").resolve()
    assert not link.readlink().is_absolute()


def test_changes_of_the_package_have_the_version() -> None:
    assert f"\n## {GALAXY['version']}\n" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_source_archive_has_all_that_a_checkout_has() -> None:
    if not (CHECKOUT / ".git").exists():
        pytest.skip("this is no checkout, so nothing says which files belong to it")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    tracked = {name.partition("/")[0] for name in listed.split("\0") if name}
    sdist = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    # Besides those that are named the builder adds some by itself, but not the link that it would follow.
    assert tracked - set(sdist["only-include"]) == {".gitignore", "LICENSE", "README.md", "pyproject.toml", ".ansible"}


WORKFLOWS = {path.stem: path.read_text() for path in (CHECKOUT / ".github" / "workflows").glob("*.yml")}


def test_workflows_run_the_gate_and_release_by_the_tools_defaults() -> None:
    assert set(WORKFLOWS) == {"all-rows", "ci", "release"}
    jobs = {name: yaml.safe_load(text)["jobs"] for name, text in WORKFLOWS.items()}
    assert ".ci/run" in jobs["ci"]["gate"]["steps"][-1]["run"]
    assert "--all-rows" in jobs["all-rows"]["tests"]["steps"][-1]["run"]
    assert jobs["release"]["gate"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["release"]["build"]["needs"] == "gate"
    assert [jobs["release"][job]["needs"] for job in ("package", "collection")] == ["build", "build"]
    assert [name for name, text in WORKFLOWS.items() if "://" in text] == []

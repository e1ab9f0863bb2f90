"""Distribution, package and collection are one thing with one version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import mlxlaunch_ansible
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._version import VERSION

CHECKOUT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
GALAXY = yaml.safe_load((CHECKOUT / "collection" / "galaxy.yml").read_text())


def test_collection_has_the_package_s_version() -> None:
    assert GALAXY["version"] == mlxlaunch_ansible.__version__ == VERSION


def test_version_has_release_notes() -> None:
    changelog = yaml.safe_load((CHECKOUT / "collection" / "changelogs" / "changelog.yaml").read_text())
    assert GALAXY["version"] in changelog["releases"]
    assert f"v{GALAXY['version']}\n" in (CHECKOUT / "collection" / "CHANGELOG.rst").read_text()


def test_collection_requires_the_ansible_core_the_package_requires() -> None:
    [required] = [text.removeprefix("ansible-core") for text in PROJECT["dependencies"] if text.startswith("ansible-core")]
    runtime = yaml.safe_load((CHECKOUT / "collection" / "meta" / "runtime.yml").read_text())
    assert versions(runtime["requires_ansible"]) == versions(required)


def versions(text: str) -> list[tuple[str, str]]:
    """Return comparisons and versions; 2.19.0 is 2.19."""
    return [(sign, number.removesuffix(".0")) for sign, number in re.findall(r"([<>=]+)([\d.]+)", text)]


def test_licence_is_the_same_everywhere() -> None:
    assert GALAXY["license"] == [PROJECT["license"]]
    assert (CHECKOUT / "LICENSE").read_text().lstrip().startswith("GNU GENERAL PUBLIC LICENSE")


def test_checkout_is_a_collection_through_the_link() -> None:
    link = CHECKOUT / ".ansible" / "ansible_collections" / "mlxlaunch" / "cluster"
    assert link.resolve() == (CHECKOUT / "collection").resolve()
    assert not link.readlink().is_absolute()

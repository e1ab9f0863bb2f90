"""The changelog names all that the collection has, in the release that brought it or for the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.collection.documented import COLLECTION, load, text

RELEASES = load(COLLECTION / "changelogs" / "changelog.yaml")["releases"]
FRAGMENTS = [load(path) for path in sorted((COLLECTION / "changelogs" / "fragments").glob("*.yml"))]
RUNTIME = load(COLLECTION / "meta" / "runtime.yml")
#: Kinds of plugins that have a documentation of their own; an action has that of the module of its name.
KINDS = ("modules", "callback", "filter", "inventory")


def in_releases(kind: str) -> dict[str, str]:
    """Return the release of each thing of a kind that a release lists, by its name of today."""
    found = {}
    for version, release in RELEASES.items():
        named = release if kind == "modules" else release.get("plugins", {}) | release.get("objects", {})
        found |= {today(kind, each["name"]): version for each in named.get(kind, ())}
    return found


def today(kind: str, name: str) -> str:
    """Return the name that a module has now, which may have been renamed since its release."""
    redirect = RUNTIME["plugin_routing"]["modules"].get(name, {}).get("redirect", "") if kind == "modules" else ""
    return str(redirect).rpartition(".")[2] or name


def version_added(path: Path) -> str:
    """Return the version that a plugin or a role is documented to come with."""
    if path.suffix == ".py":
        return str(text(str(path.relative_to(COLLECTION / "plugins")), "DOCUMENTATION")["version_added"])
    return str(load(path / "meta" / "argument_specs.yml")["argument_specs"]["main"]["version_added"])


def things(kind: str) -> list[Path]:
    """Return what the collection has of a kind."""
    if kind == "role":
        return sorted((COLLECTION / "roles").iterdir())
    return sorted((COLLECTION / "plugins" / kind).glob("*.py"))


@pytest.mark.parametrize("kind", [*KINDS, "role"])
def test_plugins_and_roles_are_in_the_release_that_they_name(kind: str) -> None:
    # Those of a release to come are added by antsibull-changelog, which finds them by this version.
    expected = {path.stem: version_added(path) for path in things(kind)}
    assert in_releases(kind) == {name: version for name, version in expected.items() if version in RELEASES}
    newest = max(map(numbers, RELEASES))
    assert {name: version for name, version in expected.items() if version not in RELEASES and numbers(version) <= newest} == {}


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_every_playbook_is_in_a_release_or_a_fragment() -> None:
    coming = [entry["name"] for fragment in FRAGMENTS for entry in fragment.get("add object.playbook", ())]
    listed = sorted([*in_releases("playbook"), *coming])
    assert listed == sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))


def test_every_line_of_a_fragment_is_text() -> None:
    """A colon makes a mapping of a line."""
    lines = [line for fragment in FRAGMENTS for section, lines in fragment.items() if not section.startswith("add ") for line in lines]
    assert [line for line in lines if not isinstance(line, str)] == []


def test_actions_have_a_module_of_their_name() -> None:
    names = [{path.stem for path in (COLLECTION / "plugins" / kind).glob("*.py")} for kind in ("action", "modules")]
    assert names[0] == names[1]


def test_every_action_is_in_the_group() -> None:
    assert RUNTIME["action_groups"] == {"all": sorted(path.stem for path in (COLLECTION / "plugins" / "action").glob("*.py"))}

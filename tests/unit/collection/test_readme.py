"""The page that Galaxy and automation hubs show of the collection: its sections, its contents, and the project's address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.collection.documented import CHECKOUT, COLLECTION, load

README = (COLLECTION / "README.md").read_text()
GALAXY = load(COLLECTION / "galaxy.yml")
#: Those that the template of Ansible's collections has.
SECTIONS = (
    *("Description", "Requirements", "Installation", "Use cases", "Testing", "Support", "Release notes and roadmap"),
    *("Related information", "Licence"),
)
KINDS = ("modules", "filter", "inventory", "callback")
ADDRESS = re.compile(r"https://github\.com/mlxlaunch/[\w-]+")


def test_readme_has_the_sections_of_the_template() -> None:
    found = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert [title for title in found if title in SECTIONS] == list(SECTIONS)


@pytest.mark.parametrize("head", ["playbook", "role", "plugin"])
def test_readme_names_everything_that_is_there(head: str) -> None:
    assert sorted(table(head)) == sorted(there(head))


def table(head: str) -> list[str]:
    """Return the names in the table of this head, of a plugin with its kind."""
    rows = README.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    found = re.findall(r"^\| \[?`mlxlaunch\.cluster\.(\w+)`[^|]* \| (\w+)", rows, re.MULTILINE)
    return [f"{kind} {name}" if head == "plugin" else name for name, kind in found]


def there(head: str) -> list[str]:
    """Return what the tree has of a kind."""
    if head == "plugin":
        found = [path for kind in KINDS for path in (COLLECTION / "plugins" / kind).glob("*.py")]
        return [f"{path.parent.name.removesuffix('s')} {path.stem}" for path in found]
    return [path.stem for path in (COLLECTION / f"{head}s").iterdir()]


def test_the_project_has_one_address() -> None:
    address = GALAXY["repository"]
    assert GALAXY["homepage"] == address
    assert GALAXY["issues"] == f"{address}/issues"
    assert GALAXY["documentation"].startswith(f"{address}/")
    assert load(COLLECTION / "docs/docsite/links.yml")["edit_on_github"]["repository"] == address.removeprefix("https://github.com/")
    others = {str(path.relative_to(CHECKOUT)): wrong for path in texts() if (wrong := set(ADDRESS.findall(path.read_text())) - {address})}
    assert others == {}


def texts() -> list[Path]:
    """Return the files that may name the project's address."""
    folders = [CHECKOUT / name for name in ("collection", "docs", "examples")]
    found = [path for folder in folders for suffix in ("md", "yml", "rst") for path in folder.rglob(f"*.{suffix}")]
    return [*found, *CHECKOUT.glob("*.md"), CHECKOUT / "pyproject.toml"]

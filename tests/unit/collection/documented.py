"""What the files of the collection say of themselves."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[3]
COLLECTION = CHECKOUT / "collection"


def documentation(path: str) -> dict[str, Any]:
    """Return a plugin's DOCUMENTATION with the fragments that it extends."""
    found = text(path, "DOCUMENTATION")
    for name in found.get("extends_documentation_fragment", ()):
        fragment, _, part = name.removeprefix("mlxlaunch.cluster.").partition(".")
        merge(found, text(f"doc_fragments/{fragment}.py", part.upper() or "DOCUMENTATION"))
    return found


def text(path: str, name: str) -> dict[str, Any]:
    """Return the YAML that a plugin assigns to a name."""
    for node in ast.walk(ast.parse((COLLECTION / "plugins" / path).read_text())):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            found = yaml.safe_load(ast.literal_eval(node.value))
            assert isinstance(found, dict)
            return found
    raise AssertionError((path, name))


def merge(found: dict[str, Any], fragment: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a fragment's options and attributes; a module is stronger than its fragments, key by key, as for Ansible."""
    for section, entries in fragment.items():
        own = found.setdefault(section, {})
        for name, entry in entries.items():
            own[name] = {**entry, **own.get(name, {})}


def load(path: Path) -> Any:
    """Return what a YAML file says."""
    return yaml.safe_load(path.read_text())

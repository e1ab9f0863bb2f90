"""The sources of a program: no part that another one imports is forgotten."""

from __future__ import annotations

import ast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.programs.closure import FOLDER, PACKAGE, closure, packages, source


def imported_parts(text: str) -> set[str]:
    """Return the modules of module_utils that a source imports, found by Python's own parser."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            below = (node.module or "").removeprefix(PACKAGE).lstrip(".")
            parts = [f"{below}.{name.name}".lstrip(".") for name in node.names]
            found |= {part if (FOLDER / f"{part.replace('.', '/')}.py").is_file() else below for part in parts}
    return found


@pytest.mark.parametrize("main", ["launch.supervisor", "agent.main"])
def test_program_has_every_part_that_one_of_its_parts_imports(main: str) -> None:
    parts = closure(main)
    assert {name for text in parts.values() for name in imported_parts(text)} | {main} == set(parts)
    assert parts[main] == source(main)


def test_packages_come_outermost_first_and_once() -> None:
    assert packages(["a.b.c", "a.b.d", "a.e.f"]) == ["a", "a.b", "a.e"]

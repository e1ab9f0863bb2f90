"""The sources of a program: no part that another one imports is forgotten."""

from __future__ import annotations

import ast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.programs.closure import (
    FOLDER,
    PACKAGE,
    at_start,
    closure,
    packages,
    source,
)


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


def test_parts_that_functions_import_are_not_there_at_the_start() -> None:
    start = f"from {PACKAGE}.{{}} import name\n"
    sources = {
        "launch.link": start.format("launch.rank") + f"from {PACKAGE}.jobs import ps\n",
        "launch.rank": f"def work():\n    {start.format('launch.guard')}",
        "launch.guard": start.format("jobs.spool"),
        "jobs.ps": "",
        "jobs.spool": "",
    }
    assert at_start(sources, "launch.link") == {"launch.link", "launch.rank", "jobs.ps"}
    assert at_start(sources, "launch.guard") == {"launch.guard", "jobs.spool"}


def test_start_of_a_supervisor_has_no_part_of_mpirun() -> None:
    parts = closure("launch.supervisor")
    assert set(parts) - at_start(parts, "launch.supervisor") >= {"launch.mpi_side", "host.mpirun", "launch.recovery"}


def test_packages_come_outermost_first_and_once() -> None:
    assert packages(["a.b.c", "a.b.d", "a.e.f"]) == ["a", "a.b", "a.e"]

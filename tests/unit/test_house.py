# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the code: sizes of folders and classes, docstrings, and a test for every file.

The direction of imports is held by import-linter, in `make lint`; here is only what it cannot say.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PLUGINS = TOP / "collection" / "plugins"
CODE = (PLUGINS, TOP / "mlxlaunch_ansible")
TESTS = TOP / "tests"
WINGS = {"controller": PLUGINS / "plugin_utils", "host": PLUGINS / "module_utils", "package": TOP / "mlxlaunch_ansible"}

FILES_A_FOLDER = 16
LINES_A_CLASS, EXPLAINED_LINES = 260, 200
ATTRIBUTES_A_CLASS, EXPLAINED_ATTRIBUTES = 14, 12
WIDTH = 120
#: Of all docstring summaries, those that may use "what" where English mostly has a noun.
SHARE_OF_WHAT = 0.08
#: A sentence in the docstring of a class that says why it is larger than others.
REASON = re.compile(r"^\s*(Large, as|Its .*\battributes\b)", re.MULTILINE)


def files() -> list[Path]:
    return sorted(path for folder in CODE for path in folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(TOP))


def classes(path: Path) -> Iterator[tuple[ast.ClassDef, str]]:
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            yield node, ast.get_source_segment(text, node) or ""


def attributes(node: ast.ClassDef) -> set[str]:
    """Return the names of the attributes that `__init__` sets."""
    makers = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return {
        target.attr
        for maker in makers
        for target in ast.walk(maker)
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store) and isinstance(target.value, ast.Name)
    }


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
            yield text


def summary(docstring: str) -> str:
    return " ".join(docstring.split("\n\n", maxsplit=1)[0].split())


def test_no_folder_has_too_many_files() -> None:
    # Folders of plugins, a file a plugin, are as long as the list of plugins.
    counted = Counter(path.parent for path in (*files(), *TESTS.rglob("*.py")))
    found = {name_of(folder): count for folder, count in counted.items() if count > FILES_A_FOLDER}
    assert found == {}, f"folders with more than {FILES_A_FOLDER} files of code: group them by what they are about"


def test_no_class_is_too_large() -> None:
    found = {}
    for path in files():
        for node, source in classes(path):
            lines, count = source.count("\n") + 1, len(attributes(node))
            explained = REASON.search(ast.get_docstring(node) or "") is not None
            too_large = lines > LINES_A_CLASS or count > ATTRIBUTES_A_CLASS
            if too_large or (not explained and (lines > EXPLAINED_LINES or count > EXPLAINED_ATTRIBUTES)):
                found[f"{name_of(path)}: {node.name}"] = f"{lines} lines, {count} attributes, {'' if explained else 'not '}explained"
    assert found == {}


def test_docstring_summaries_name_a_noun() -> None:
    summaries = [summary(text) for path in files() for text in docstrings(path)]
    clauses = [text for text in summaries if re.search(r"\bwhat(ever)?\b", text, re.IGNORECASE)]
    assert len(clauses) <= SHARE_OF_WHAT * len(summaries), "\n".join(clauses)


def test_docstrings_do_not_say_that_a_file_is_private() -> None:
    assert [name_of(path) for path in files() if any(text.startswith("Private to") for text in docstrings(path))] == []


def test_docstrings_are_wrapped() -> None:
    found = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or ast.get_docstring(node) is None:
                continue
            quoted = node.body[0]
            lines = path.read_text(encoding="utf-8").splitlines()[quoted.lineno - 1 : quoted.end_lineno]
            # Documentation of a plugin is YAML, which ansible-test looks at.
            found += [f"{name_of(path)}:{quoted.lineno + at}" for at, line in enumerate(lines) if len(line) > WIDTH]
    assert found == []


#: Files without a test of their name, and the reason.
UNTESTED = {
    "collection/plugins/module_utils/lead/collaborators.py": "only declares protocols; every gang in the tests has such collaborators",
    "collection/plugins/module_utils/shared/calls.py": "only declares",
    "collection/plugins/module_utils/shared/exit_status.py": "only declares",
    "collection/plugins/module_utils/shared/names.py": "only declares",
    "mlxlaunch_ansible/__init__.py": "only names; the integration tests of the API use them",
    "mlxlaunch_ansible/__main__.py": "calls the command, as nearly all integration tests do",
    "mlxlaunch_ansible/_ansible_playbook.py": "a program, which every job of the integration tests runs",
    "mlxlaunch_ansible/_core.py": "only names",
    "mlxlaunch_ansible/_contact/__init__.py": "empty",
    "mlxlaunch_ansible/_network/__init__.py": "empty",
    "mlxlaunch_ansible/_prepare/__init__.py": "empty",
    "mlxlaunch_ansible/_streams/__init__.py": "empty",
    "mlxlaunch_ansible/commands/__init__.py": "empty",
    "mlxlaunch_ansible/commands/terminal/__init__.py": "empty",
}


@pytest.mark.parametrize("side", WINGS)
def test_every_file_has_a_test_of_its_name(side: str) -> None:
    missing = []
    for path in sorted(WINGS[side].rglob("*.py")):
        place = path.relative_to(WINGS[side])
        expected = TOP / "tests" / "unit" / side / place.parent / f"test_{place.stem.lstrip('_')}.py"
        if not expected.exists() and name_of(path) not in UNTESTED:
            missing.append(name_of(path))
    assert missing == []


def test_reasons_are_of_files_that_have_no_test() -> None:
    for name in UNTESTED:
        assert (TOP / name).is_file(), f"{name} is gone"

"""Imports are read once, as long as a file stays as it is."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy import signatures
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports import remembered
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports.remembered import RememberedImports
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports.statements import Import


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(signatures, "RACY", -1)
    (tmp_path / "train.py").write_text("from a import b")
    return tmp_path


def imports(folder: Path) -> tuple[list[Import], int]:
    """Return the imports of train.py, and how many files were read."""
    with mock.patch.object(remembered, "imports_of", wraps=remembered.imports_of) as read:
        memory = RememberedImports(str(folder), "train.py")
        found = memory.of("train.py")
        memory.save()
    return found, read.call_count


def test_file_is_read_once(folder: Path) -> None:
    assert imports(folder) == ([Import(0, "a", ("b",))], 1)
    assert imports(folder) == ([Import(0, "a", ("b",))], 0)
    (folder / "train.py").write_text("import c, d")
    assert imports(folder) == ([Import(0, "c"), Import(0, "d")], 1)


@pytest.mark.parametrize("value", ["7", '[["x", "a", []]]', '[[0, "a"]]', "null", '{"a": 1}'])
def test_broken_memory_is_replaced(folder: Path, value: str) -> None:
    imports(folder)
    file = signatures.memory_file(f"{folder}/train.py", "imports")
    file.write_text(file.read_text().replace('[[0,"a",["b"]]]', value))
    assert imports(folder) == ([Import(0, "a", ("b",))], 1)
    assert imports(folder) == ([Import(0, "a", ("b",))], 0)


def test_file_that_cannot_be_read_imports_nothing(folder: Path) -> None:
    assert RememberedImports(str(folder), "train.py").of("gone.py") == []

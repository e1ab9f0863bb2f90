"""Facts about files are remembered as long as the files stay as they are, and are never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy import signatures
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.signatures import Remembered, memory_file

MARK = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_fact_is_for_the_file_as_it_was() -> None:
    memory = Remembered("/p", "hashes")
    memory.put("a", MARK, "fact")
    memory.save()
    assert Remembered("/p", "hashes").get("a", MARK) == "fact"
    assert Remembered("/p", "hashes").get("a", (1, 2, 3, 5)) is None
    assert Remembered("/p", "imports").get("a", MARK) is Remembered("/q", "hashes").get("a", MARK) is None


def test_facts_that_nobody_asked_for_again_are_forgotten() -> None:
    memory = Remembered("/p", "hashes")
    memory.put("a", MARK, 1)
    memory.put("b", MARK, 2)
    memory.save()
    again = Remembered("/p", "hashes")
    assert again.get("b", MARK) == 2
    again.save()
    assert list(Remembered("/p", "hashes").all()) == ["b"]


def test_fact_of_a_new_file_is_not_remembered() -> None:
    memory = Remembered("/p", "hashes")
    memory.put("a", (1, memory._began, 3, 4), "fact")
    memory.put("b", (1, 2, 3, memory._began), "fact")
    memory.save()
    assert not memory_file("/p", "hashes").exists()


def test_memory_is_named_by_its_kind_and_tells_no_path(tmp_path: Path) -> None:
    assert memory_file("/p", "hashes").parent == tmp_path / "mlxlaunch" / "hashes"
    assert "secret" not in memory_file("/secret", "imports").name
    assert signatures.RACY > 10**9

"""Wheels for tests of locks and wheelhouses, a project, and a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.controller.projects import write
from tests.unit.environments import make_wheel


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """What an index has: one wheel for everybody, and one for each of two platforms."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "tiny")
    make_wheel(folder, "fast", tag="cp312-cp312-macosx_13_0_arm64", files={"fast.py": "ON = 'mac'\n"})
    make_wheel(folder, "fast", tag="cp312-cp312-manylinux_2_28_x86_64", files={"fast.py": "ON = 'linux'\n"})
    make_wheel(folder, "metal", tag="py3-none-macosx_14_0_arm64")
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test from the caches of whoever runs it, and from what they have configured for git, pip and uv."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A project of few files."""
    folder = tmp_path / "demo"
    write(folder, "train.py", "data/small.csv", "data/big.bin", "src/net.py", "src/debug.log")
    return folder

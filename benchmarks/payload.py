# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deployed: a project of many files, a small environment from a lock, a copy of one with MLX, one big file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from tests.unit.environments import lock_line, make_wheel

from .bed import RANKS

FILES = 2000
_PER_DIRECTORY = 50
_MLX = ("mlx", "mlx-cpu", "mlx-metal")
_MLX_BYTES = 80_000_000
_BLOCK = 8 * 1024 * 1024


class Project:
    """A directory with a script and many files of a few kilobytes.

    Attributes:
        path, script: of the directory, of the script in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script = path / "trivial.py"
        path.mkdir(parents=True)
        shutil.copy(RANKS / "trivial.py", self.script)
        for number in range(FILES - 1):
            file = path / f"package{number // _PER_DIRECTORY}" / f"module{number}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"# {number}\n" + "value = 'some text that stands for code'\n" * (20 + number % 100), encoding="utf-8")
        self._changes = 0

    def change(self) -> None:
        """Let one file have a content it never had."""
        self._changes += 1
        (self.path / "package7/module377.py").write_text(f"change = {self._changes}\n", encoding="utf-8")


def make_lock(folder: Path) -> tuple[Path, Path]:
    """Write a lock of one tiny package; return its path and that of its wheelhouse."""
    wheelhouse, lock = folder / "wheelhouse", folder / "requirements.lock"
    lock.write_text(lock_line(make_wheel(wheelhouse, "tiny", "1.0")), encoding="utf-8")
    return lock, wheelhouse


def make_mlx_environment(path: Path) -> int:
    """Make a virtual environment that has MLX, as installed in this one, and nothing else; return its size in bytes.

    On a Mac its kernels for Metal are most of it. Elsewhere a file that nobody opens stands for them.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True, timeout=60)
    here, there = (sysconfig.get_path("platlib", vars=_bases(prefix)) for prefix in (sys.prefix, str(path)))
    for name in _MLX:
        for file in _files(name):
            if (source := Path(here, file)).is_file() and ".." not in file.parts:
                target = Path(there, file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    size = _size(path)
    if size < _MLX_BYTES:
        make_file(Path(there, "mlx/lib/mlx.metallib"), _MLX_BYTES - size)
    return _size(path)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def make_file(path: Path, size: int) -> None:
    """Write a file that cannot be compressed."""
    block = os.urandom(_BLOCK)
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK):
            # Each block is another one, so that nobody finds one in another.
            file.write(start.to_bytes(8, "big") + block[: min(_BLOCK, size - start) - 8])


def _bases(prefix: str) -> dict[str, str]:
    return {"base": prefix, "platbase": prefix}


def _files(name: str) -> list[Path]:
    try:
        return [Path(file) for file in files(name) or []]
    except PackageNotFoundError:
        return []

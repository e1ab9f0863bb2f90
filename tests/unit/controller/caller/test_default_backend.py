"""Without --backend, nccl is taken where mlx.launch would take it, else the ring."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.default_backend import default_backend


def python(folder: Path, answer: str) -> str:
    """Return an interpreter whose MLX says this about CUDA; without an answer it cannot be imported."""
    package = folder / "mlx"
    package.mkdir()
    (package / "__init__.py").touch()
    if answer:
        (package / "core.py").write_text(f"class cuda:\n    is_available = staticmethod(lambda: {answer})\n")
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncd {folder} && exec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("node", "answer", "expected"),
    [("nvidia0", "True", "nccl"), ("dxg", "True", "nccl"), ("nvidia0", "False", "ring"), ("nvidia0", "", "ring"), ("null", "True", "ring")],
)
def test_nccl_where_mlx_here_can_use_cuda(tmp_path: Path, node: str, answer: str, expected: str) -> None:
    dev = tmp_path / "dev"
    dev.mkdir()
    (dev / node).touch()
    assert default_backend(python(tmp_path, answer), dev) == expected


def test_a_python_that_is_not_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    assert default_backend("/nowhere/python", tmp_path) == "ring"

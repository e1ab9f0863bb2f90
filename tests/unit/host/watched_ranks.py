"""Ranks whose use of MLX is watched, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import watching_modules
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources

#: Stands in for an MLX under MPI: at its end it says what MPI_Finalize would wait for.
FAKE_MLX = """
class Group:
    def __init__(self, size): self._size = size
    def size(self): return self._size
    def __del__(self): print("finalized", flush=True)
class distributed:
    world = 2
    @staticmethod
    def init(strict=False, backend="any"):
        "Bring it up."
        distributed.group = Group(distributed.world)
        return distributed.group
    @staticmethod
    def is_available(backend="any"): return backend == "ring"
"""
INIT = "import mlx.core as mx\ngroup = mx.distributed.init()\n"


class WatchedRank:
    """Runs scripts as a rank of a job does, with modules staged before all others."""

    def __init__(self, folder: Path) -> None:
        self.modules = folder / "mlxlaunch-job-1-0" / "python"
        self.modules.mkdir(parents=True)
        self.user = folder / "user"
        self.user.mkdir()
        self.script = folder / "train.py"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("MLX_", "PYTHON", "COVERAGE"))}
        self.path = [str(self.modules)]

    def stage(self, backend: str = "ring", world_size: int = 2) -> None:
        """Put there what a job's plan has for every rank."""
        for name, source in watching_modules(backend, world_size, host_sources()).items():
            (self.modules / name).write_text(source, encoding="utf-8")

    def fake_mlx(self) -> None:
        """Let it have the stand-in for MLX."""
        (self.user / "mlx").mkdir()
        (self.user / "mlx/__init__.py").touch()
        (self.user / "mlx/core.py").write_text(FAKE_MLX)
        self.path.append(str(self.user))

    def run(self, script: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end; warnings are errors there too."""
        self.script.write_text(script, encoding="utf-8")
        environment = self.env | {"PYTHONPATH": os.pathsep.join(self.path), "MLX_RANK": "1"} | env
        argv = [sys.executable, "-W", "error", *options, self.script]
        return subprocess.run(argv, env=environment, cwd=self.user, capture_output=True, text=True, timeout=60, check=False)

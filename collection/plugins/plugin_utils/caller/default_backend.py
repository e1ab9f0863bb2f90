# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The default backend of mlx.launch, which depends on whether this machine's MLX can use CUDA."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PATIENCE = 60.0  # seconds; importing MLX with CUDA from a cold disk takes a few
_ASK = "import mlx.core as mx; print('CUDA', mx.cuda.is_available())"


def default_backend(python: str, dev: Path = Path("/dev")) -> str:
    """Return the default backend of mlx.launch: nccl if the MLX here can use CUDA, otherwise ring.

    Source: main() in mlx/_distributed_utils/launch.py, 0.32.4. MLX, which is slow to import, is
    imported only on a machine with a device.

    Args:
        python: the interpreter that launches.
        dev: the directory of devices.
    """
    if not any(dev.glob("nvidia[0-9]*")) and not (dev / "dxg").exists():
        return "ring"
    try:
        done = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return "ring"
    return "nccl" if "CUDA True" in done.stdout else "ring"

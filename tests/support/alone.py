"""A program in a session of its own, and so without a terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_alone(argv: Sequence[str], cwd: Path, env: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which has to come in so many seconds; return its output as text."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        start_new_session=True,
    )

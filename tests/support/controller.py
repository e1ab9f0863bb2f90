"""The environment of tests that launch: of their own, whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.start import CHECKOUT

#: Variables of whoever runs the tests that would change what is tested.
FOREIGN = ("ANSIBLE_", "MLX_", "MLXLAUNCH_", "XDG_", "NO_COLOR", "COLUMNS", "LINES", "SSH_", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give this process, and what it starts, an environment and a home of its own."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    # Its path is short: ssh's sockets in it have about 104 bytes for theirs.
    home = Path(tempfile.mkdtemp(prefix="mli-", dir="/tmp"))
    settings = {
        "ANSIBLE_HOME": str(home / "a"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),  # does not follow ANSIBLE_HOME
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / '.ansible'}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield
    for socket in home.glob("cp/*"):
        # Every lab has the same addresses, so a shared connection must not outlive its test.
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=False, timeout=60)
    shutil.rmtree(home, ignore_errors=True)

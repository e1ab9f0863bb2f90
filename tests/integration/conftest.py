"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.integration.deploying import Site, wipe
from tests.lab import Lab
from tests.lab.start import CHECKOUT

#: Variables of whoever runs the tests that would change what is tested.
_FOREIGN = ("ANSIBLE_", "MLX_", "MLXLAUNCH_", "XDG_", "NO_COLOR", "COLUMNS", "LINES", "SSH_", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give this process, and what it starts, an environment and a home of its own."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
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
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=False, timeout=20)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cluster(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give the lab's hosts with this machine as their controller; fail a test whose jobs leave files on a host."""
    monkeypatch.setenv("ANSIBLE_SSH_COMMON_ARGS", f"-F {lab.ssh_config}")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for host in lab.hosts:
        host.path(here).mkdir(parents=True, exist_ok=True)
        for path in host.path("/tmp").glob("mlxlaunch*"):
            shutil.rmtree(path)
    cluster = Cluster(lab, here, os.environ)
    yield cluster
    if not cluster.may_leave_files and (left := cluster.left_files()):
        pytest.fail(f"left on hosts: {', '.join(left)}")


@pytest.fixture
def site(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Give hosts to which nothing was deployed; fail a test after which a private directory is left on the controller."""
    wipe(cluster.hosts)
    folder = Path(os.environ["ANSIBLE_HOME"]).parent / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    cluster.env["TMPDIR"] = str(folder)
    yield Site(cluster)
    # What ends by itself, when its launcher was killed, may take a moment.
    deadline = time.monotonic() + 5
    while (left := [path.name for path in folder.glob("mlxlaunch*")]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"left on the controller: {left}"

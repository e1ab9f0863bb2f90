# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots, wheels, and the tools that make environments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment, store
from tests.unit.environments import make_wheel
from tests.unit.project_deploy import Deploy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "wheels", "tiny")
    return tmp_path / "wheels"


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda run: "")


@pytest.fixture(scope="session")
def uv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    folder = tmp_path_factory.mktemp("uv")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--retries", "0", "--target", str(folder), "uv"]
    done = subprocess.run(argv, capture_output=True, check=False)
    return folder / "bin" if done.returncode == 0 else None


@pytest.fixture
def uv(uv_folder: Path | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if uv_folder is None:
        pytest.skip("uv cannot be installed here: no index")
    monkeypatch.setenv("PATH", str(uv_folder), prepend=os.pathsep)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return uv_folder / "uv"


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Deploy]:
    deploy = Deploy(tmp_path)
    deploy.write("train.py", "print('hello')\n")
    deploy.write("tools/-rf", "#!/bin/sh\n", 0o755)
    deploy.write("a\nb/über", "text")
    deploy.write("tools/locked", "read only", 0o444)
    (deploy.source / "empty").mkdir(mode=0o750)
    (deploy.source / "closed").mkdir()
    deploy.write("closed/in", "in a directory that nobody may write to")
    (deploy.source / "closed").chmod(0o555)
    (deploy.source / "latest").symlink_to("tools/-rf")
    yield deploy
    for transfer in list(store._OPEN.values()):
        transfer.end()
    store._OPEN.clear()

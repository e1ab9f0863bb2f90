# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that an environment is made from is found, or the places that were searched are named."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import interpreter
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import PythonNotFound, find_python
from tests.unit.environments import run

BASE = sys._base_executable  # type: ignore[attr-defined]


def make_python(folder: Path, name: str, version: str) -> Path:
    """Make a file that answers the probe as a Python of this version would."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "path": str(folder / name),
        "version": version,
        "implementation": "cpython",
        "platform": {"system": "Linux", "machine": "x86_64", "release": "2.36", "libc": "glibc"},
        "ensurepip": True,
    }
    path = folder / name
    path.write_text(f"#!/bin/sh\necho a warning of somebody\necho 'MLXLAUNCH {json.dumps(said)}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a PATH where nothing is; the folders of the machine are not looked at."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(home / "bin"))
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    folders = interpreter._folders
    monkeypatch.setattr(interpreter, "_folders", lambda: [folder for folder in folders() if folder.startswith(str(home))])
    monkeypatch.setattr(interpreter, "find_uv", lambda run: "")
    return home


def test_real_interpreter_tells_what_it_is() -> None:
    found = find_python(BASE, run)
    assert found["version"] == platform.python_version()
    assert found["implementation"] == "cpython"
    assert found["platform"]["machine"] == os.uname().machine
    assert os.path.realpath(found["path"]) == os.path.realpath(BASE)


def test_path_into_a_virtual_environment_means_its_base() -> None:
    assert sys.prefix != sys.base_prefix, "the tests run in a virtual environment"
    assert os.path.realpath(find_python(sys.executable, run)["path"]) == os.path.realpath(BASE)
    assert not find_python(sys.executable, run)["path"].startswith(sys.prefix)


def test_this_machines_python_is_found_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(BASE).parent), prepend=os.pathsep)
    exact = platform.python_version()
    assert find_python(exact, run)["version"] == exact


def test_newest_python_is_found_when_none_is_named(only: Path) -> None:
    make_python(only / ".pyenv/versions/3.9.18/bin", "python3", "3.9.18")
    make_python(only / ".pyenv/versions/3.12.1/bin", "python3", "3.12.1")
    make_python(only / "bin", "python3.13", "3.13.0")
    make_python(only / "bin", "python3.14", "3.14.0rc1")
    assert find_python("", run)["version"] == "3.13.0"


@pytest.mark.parametrize(("wanted", "version"), [("3.12", "3.12.10"), ("3.12.4", "3.12.4"), ("python3.12", "3.12.10"), ("3.9", "3.9.18")])
def test_version_is_found_whatever_lies_beside_it(only: Path, wanted: str, version: str) -> None:
    for patch in ("3.12.4", "3.12.10", "3.9.18"):
        make_python(only / f".pyenv/versions/{patch}/bin", "python3", patch)
    make_python(only / ".local/share/uv/python/cpython-3.12.9-linux/bin", "python3.12", "3.12.9")
    make_python(only / "bin", "python3.12-config", "3.12.99")
    assert find_python(wanted, run)["version"] == version


def test_shim_that_cannot_run_is_passed_over(only: Path) -> None:
    shim = make_python(only / "bin", "python3.12", "")
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    make_python(only / ".pyenv/versions/3.12.1/bin", "python3", "3.12.1")
    assert find_python("3.12", run)["version"] == "3.12.1"


def test_missing_version_is_told_with_what_is_there_instead(only: Path) -> None:
    make_python(only / ".pyenv/versions/3.9.18/bin", "python3", "3.9.18")
    make_python(only / "bin", "python3.13", "3.13.0")
    with pytest.raises(
        PythonNotFound, match=r"no Python 3\.12 on this host: found 3\.13\.0 \(.*python3\.13\), 3\.9\.18 \(.*Homebrew.*mlx_python"
    ):
        find_python("3.12", run)


def test_too_old_python_is_told_when_none_is_named(only: Path) -> None:
    make_python(only / "bin", "python3.9", "3.9.18")
    with pytest.raises(PythonNotFound, match=r"no Python 3\.10 or newer on this host: found 3\.9\.18"):
        find_python("", run)


def test_path_that_is_no_python_is_told(tmp_path: Path) -> None:
    with pytest.raises(PythonNotFound, match="python /nowhere/python3 is not there"):
        find_python("/nowhere/python3", run)
    (tmp_path / "python3").write_text("#!/bin/sh\necho wrong architecture >&2\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    with pytest.raises(PythonNotFound, match="cannot be run: wrong architecture"):
        find_python(str(tmp_path / "python3"), run)
    with pytest.raises(PythonNotFound, match="neither a path nor a version"):
        find_python("three", run)


def test_apples_placeholder_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_tools(argv: list[str], **_options: object) -> tuple[int, str]:
        asked.append(argv[0])
        return 2, "xcode-select: error: unable to get active developer directory"

    monkeypatch.setattr(interpreter, "sys", type("", (), {"platform": "darwin"}))
    monkeypatch.setattr(interpreter.os.path, "realpath", str)
    monkeypatch.setattr(interpreter.os.path, "exists", lambda path: True)
    with pytest.raises(PythonNotFound, match="xcode-select --install"):
        find_python("/usr/bin/python3", no_tools)
    assert asked == ["/usr/bin/xcode-select"]


def test_uv_is_asked_when_nothing_else_is_found(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = make_python(only / "elsewhere", "python3.12", "3.12.7")
    uv = only / "uv"
    uv.write_text(f'#!/bin/sh\n[ "$*" = "python find 3.12" ] && [ "$UV_PYTHON_DOWNLOADS" = never ] && echo {python}\n')
    uv.chmod(0o755)
    monkeypatch.setattr(interpreter, "find_uv", lambda run: str(uv))
    assert find_python("3.12", run)["version"] == "3.12.7"

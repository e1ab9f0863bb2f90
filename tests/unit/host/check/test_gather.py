"""What a host says of itself in a check."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import gather
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import Owners
from tests.unit.local_agent import LocalAgent


@pytest.fixture
def agent() -> LocalAgent:
    return LocalAgent()


def probe(agent: LocalAgent, python: Path | str, **env: str) -> dict[str, Any]:
    found = gather._python(agent.run, {"python": str(python), "cwd": "", "env": env})
    assert isinstance(found, dict)
    return found


def test_python_with_mlx_tells_versions_and_imports_it(agent: LocalAgent) -> None:
    found = probe(agent, sys.executable)
    assert (found["problem"], found["import_error"]) == ("", "")
    assert found["version"] == ".".join(map(str, sys.version_info[:3]))
    assert re.match(r"\d+\.\d+", found["mlx"])


def test_program_that_is_no_python_is_told_with_its_last_words(agent: LocalAgent, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho xcode-select: note: no developer tools were found >&2\nexit 72\n")
    fake.chmod(0o755)
    assert probe(agent, fake)["problem"] == f"{fake} does not run: xcode-select: note: no developer tools were found"
    fake.write_text("#!/bin/sh\nkill -SEGV $$\n")
    assert probe(agent, fake)["problem"].endswith("killed by signal 11")
    assert "is not there" in probe(agent, tmp_path / "none")["problem"]


def test_import_that_fails_is_told_with_its_error(agent: LocalAgent, tmp_path: Path) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "core.py").write_text("raise ImportError('wrong architecture')")
    (tmp_path / "mlx" / "__init__.py").touch()
    found = probe(agent, sys.executable, PYTHONPATH=str(tmp_path))
    assert (found["problem"], found["import_error"]) == ("", "ImportError: wrong architecture")


def test_stub_of_a_mac_without_command_line_tools_is_not_run(agent: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_mac", lambda: True)
    monkeypatch.setattr(gather.programs, "find_program", lambda *_words: "/usr/bin/python3")

    def run(argv: Sequence[str], **_options: Any) -> tuple[int, str]:
        assert argv == ["/usr/bin/xcode-select", "-p"]
        return 2, "xcode-select: error: Unable to get active developer directory"

    found = gather._python(run, {"python": "/usr/bin/python3", "cwd": "", "env": {}})
    assert "xcode-select --install" in found["problem"]


def test_root_is_named_with_whoever_could_change_it(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"root": str(tmp_path), "environment": "k", "project": {"name": "llm", "digest": "0" * 64}}
    assert gather._root(Owners(), spec) == {"path": str(tmp_path), "problem": ""}
    assert gather._root(Owners(), {**spec, "environment": "", "project": None}) is None
    for part in ("envs/k", "projects/llm", ""):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        (tmp_path / part).chmod(0o777)
        assert gather._root(Owners(), spec)["problem"].startswith(f"{tmp_path / part} may be changed by others")
        (tmp_path / part).chmod(0o755)


def test_mpirun_beside_the_ranks_python_comes_first(agent: LocalAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("env", "5.0.8"), ("path", "4.1.4")):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "mpirun"
        program.write_text(f"#!/bin/sh\necho 'mpirun (Open MPI) {version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:{os.environ['PATH']}")
    assert gather._mpirun(agent.run, f"{tmp_path}/env/python", []) == {"path": f"{tmp_path}/env/mpirun", "version": "5.0.8"}
    assert gather._mpirun(agent.run, "/usr/bin/python3", [])["version"] == "4.1.4"
    wanted = ["/nowhere/mpirun", f"{tmp_path}/path/mpirun"]
    assert gather._mpirun(agent.run, f"{tmp_path}/env/python", wanted)["path"] == wanted[1]

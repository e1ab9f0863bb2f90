# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's own environment becomes one of the host's."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment import prune, state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_copy import (
    abandon_copy,
    begin_copy,
    finish_copy,
    replace_prefix,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_lock import EnvLock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import environment_key
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.own_environment import (
    difference,
    own_environment,
    reasons_not_to_copy,
)
from tests.unit.environments import make_wheel, run

BASE = sys._base_executable  # type: ignore[attr-defined]
KEY = "0123456789abcdef"


@pytest.fixture
def source(tmp_path: Path, wheels: Path, uv: Path) -> Path:
    """An environment as a controller may have one."""
    path = tmp_path / "ctl" / "env"
    scripted = make_wheel(
        wheels,
        "scripted",
        files={
            "scripted.py": "def main(): print('ran')\n",
            "scripted-1.0.dist-info/entry_points.txt": "[console_scripts]\nscripted=scripted:main\n",
        },
    )
    for argv in (
        [str(uv), "venv", "--quiet", "--python", BASE, str(path)],
        [str(uv), "pip", "install", "--quiet", "--offline", "--python", str(path / "bin/python"), str(scripted)],
    ):
        code, text = run(argv)
        assert code == 0, text
    return path


def copy_of(root: Path, source: Path, mirror: Callable[[str], object]) -> dict[str, Any]:
    own = own_environment(str(source))
    key = environment_key(own.digest, {"implementation": "cpython", "version": own.version}, own.description["platform"])
    spec = {"root": str(root), "key": key, "source": own.prefix, "base": own.base, "version": own.version, "digest": own.digest}
    begun = begin_copy(spec, print)
    assert (begun["error"], begun["needed"]) == ("", True)
    mirror(begun["path"])
    done = finish_copy(spec, run, print)
    if not done["error"]:
        assert begin_copy(spec, print)["needed"] is False
    return done


def test_copied_environment_runs_without_the_original(root: Path, source: Path) -> None:
    def mirror(path: str) -> None:
        subprocess.run(["cp", "-a", f"{source}/.", path], check=True)
        source.rename(source.with_name("gone"))

    done = copy_of(root, source, mirror)
    assert done["error"] == ""
    assert done["description"]["distributions"] == {"scripted": "1.0"}
    assert run([done["path"] + "/bin/scripted"]) == (0, "ran\n")
    left = run(["grep", "-rl", str(source), done["path"] + "/bin", done["path"] + "/pyvenv.cfg"])
    assert left == (1, ""), "no script names the controller's path"


def test_copy_that_did_not_arrive_whole_is_refused(root: Path, source: Path) -> None:
    def mirror(path: str) -> None:
        subprocess.run(["cp", "-a", f"{source}/.", path], check=True)
        subprocess.run(f"rm -r {path}/lib/python3*/site-packages/scripted-1.0.dist-info", shell=True, check=True)  # noqa: S602

    done = copy_of(root, source, mirror)
    assert "what arrived differs" in done["error"]
    key = next(path.name for path in (root / "envs").iterdir() if path.is_dir())
    assert state(str(root), key) == "incomplete"
    assert prune(str(root), 0, "")["removed"] == [key], "its lock is free"


def test_copy_without_its_begin_or_abandoned_is_not_finished(root: Path, source: Path) -> None:
    spec = {"root": str(root), "key": KEY, "source": str(source), "base": BASE, "version": "3.0.0", "digest": ""}
    assert "not begun" in finish_copy(spec, run, print)["error"]
    path = begin_copy(spec, print)["path"]
    assert EnvLock.try_take(path) is None, "locked between begin and finish"
    abandon_copy(spec)
    lock = EnvLock.try_take(path)
    assert lock is not None
    lock.release()
    begin_copy(spec, print)
    assert "the controller 3.0.0" in finish_copy(spec, run, print)["error"]


def test_own_environment_can_be_copied_to_a_host_like_this_one(source: Path) -> None:
    own = own_environment(str(source))
    same = {"version": own.version, "implementation": "cpython", "platform": own.description["platform"]}
    assert (reasons_not_to_copy(own), difference(own, same)) == ([], "")


def test_prefix_is_replaced_as_a_whole_path_only() -> None:
    text = b"#!/a/env/bin/python\n'/a/env' /a/env2 /b/a/env /a/env.old\n"
    assert replace_prefix(text, b"/a/env", b"/x") == b"#!/x/bin/python\n'/x' /a/env2 /b/a/env /a/env.old\n"
    assert replace_prefix(b"\0/a/env", b"/a/env", b"/x") == b"\0/a/env"


def test_copy_is_closed_and_has_no_special_bits(root: Path, source: Path) -> None:
    (source / "bin/tool").touch()
    (source / "bin/tool").chmod(0o6755)

    def mirror(path: str) -> None:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
        subprocess.run(["cp", "-a", f"{source}/.", path], check=True)  # with all bits, as no way of sending should

    path = Path(copy_of(root, source, mirror)["path"])
    assert stat.S_IMODE((path / "bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o700

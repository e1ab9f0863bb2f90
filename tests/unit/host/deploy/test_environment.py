"""Python environments on a host: found, built, described, kept while used, removed. Real interpreters, real pip and uv."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment, environment_lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment import build, describe, prune, state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_lock import EnvLock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import hold
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import job_processes
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import FORMAT, environment_digest
from tests.unit.environments import lock_line, make_wheel, run, serve_index

BASE = sys._base_executable  # type: ignore[attr-defined]
KEY = "0123456789abcdef"
LINUX = {"system": "Linux", "machine": "x86_64"}


@pytest.fixture
def any_tool(uv_folder: Path | None, request: pytest.FixtureRequest) -> str:
    """Whatever builds fastest here: pip takes seconds to make an environment."""
    name = "uv" if uv_folder else "no_uv"
    request.getfixturevalue(name)
    return name


@pytest.fixture(scope="session")
def made_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "venv"
    subprocess.run([BASE, "-m", "venv", str(path)], check=True)
    return path


@pytest.fixture
def quick_pip(no_uv: None, made_venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip without the seconds that venv takes: environments begin as copies of one."""
    step = environment._step

    def copy_or_step(spec: dict[str, Any], run: Any, progress: Any, argv: list[str]) -> None:
        step(spec, run, progress, ["cp", "-a", f"{made_venv}/.", argv[-1]] if argv[1:4] == ["-I", "-m", "venv"] else argv)

    monkeypatch.setattr(environment, "_step", copy_or_step)


def spec_of(root: Path, wheels: Path | str, lock: str, **more: Any) -> dict[str, Any]:
    return {"root": str(root), "key": KEY, "python": BASE, "lock": lock, "wheels": str(wheels), "index_url": "", **more}


def fake(root: Path, key: str, complete: bool = True, age: float = 0) -> Path:
    """Make a directory that passes for an environment."""
    path = root / "envs" / key
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(BASE)
    if complete:
        marker = path / ".mlxlaunch.json"
        marker.write_text(json.dumps({"format": FORMAT, "key": key, "metadata": []}))
        os.utime(marker, (marker.stat().st_mtime - age,) * 2)
    return path


@pytest.mark.parametrize("format", [None, FORMAT - 1, FORMAT + 1])
def test_environment_of_another_format_is_not_complete(root: Path, format: int | None) -> None:
    path = fake(root, "current")
    assert state(str(root), "current") == "complete"
    record = json.loads((path / ".mlxlaunch.json").read_text())
    (path / ".mlxlaunch.json").write_text(json.dumps({**record, "format": format}))
    assert state(str(root), "current") == "incomplete"


# --- building ---


def test_pip_builds_from_a_wheelhouse_what_the_lock_says(root: Path, wheels: Path, no_uv: None) -> None:
    said: list[str] = []
    done = build(spec_of(root, wheels, lock_line(wheels / "tiny-1.0-py3-none-any.whl")), run, said.append)
    assert done["error"] == ""
    assert done["changed"]
    assert done["description"]["distributions"] == {"tiny": "1.0"}, "pip is not left in it: uv would not leave one either"
    assert state(str(root), KEY) == "complete"
    assert any("tiny" in line for line in said)
    assert run([done["path"] + "/bin/python", "-c", "import tiny; print(tiny.VERSION)"]) == (0, "1.0\n")
    assert (Path(done["path"]) / "lib").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("program", ["no_uv", "uv"])
@pytest.mark.parametrize("options", [False, True], ids=["index", "options of a lock"])
def test_address_of_an_index_is_in_no_command_line(
    program: str, options: bool, root: Path, wheels: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(program)
    canary = f"canary{os.getpid()}"
    with serve_index(wheels) as index:
        address = index.url.replace("//", f"//ada:{canary}@")
        origin = {"index_options": ["--index-url", address, "--extra-index-url", address]} if options else {"index_url": address}
        said: list[str] = []
        done = build(spec_of(root, "", lock_line(wheels / "tiny-1.0-py3-none-any.whl"), **origin), run, said.append)
    assert (done["error"], done["description"]["distributions"]) == ("", {"tiny": "1.0"})
    assert "install" in index.command_lines
    assert canary not in index.command_lines + str(said)
    assert all(canary not in path.read_text(errors="replace") for path in root.rglob("*") if path.is_file() and path.name[0] == ".")


def test_uv_builds_the_same_environment(root: Path, wheels: Path, uv: Path) -> None:
    spec = spec_of(root, wheels, lock_line(wheels / "tiny-1.0-py3-none-any.whl"))
    done = build(spec, run, lambda _line: None)
    assert done["error"] == ""
    assert done["description"] == {
        "python": platform.python_version(),
        "implementation": "cpython",
        "platform": {"system": os.uname().sysname, "machine": os.uname().machine},
        "distributions": {"tiny": "1.0"},
    }
    assert done["digest"] == environment_digest(describe(done["path"], run))
    assert "uv" in (Path(done["path"]) / "pyvenv.cfg").read_text()
    again = build(spec, run, lambda _line: None)
    assert (again["changed"], again["digest"]) == (False, done["digest"])


def test_package_installed_by_hand_is_noticed_and_built_over(root: Path, wheels: Path, uv: Path) -> None:
    spec = spec_of(root, wheels, lock_line(wheels / "tiny-1.0-py3-none-any.whl"))
    done = build(spec, run, lambda _line: None)
    other = make_wheel(wheels, "other", "2.0")
    code, text = run([str(uv), "pip", "install", "--offline", "--python", done["path"] + "/bin/python", str(other)])
    assert code == 0, text
    assert state(str(root), KEY) == "incomplete"
    assert build(spec, run, lambda _line: None)["digest"] == done["digest"]
    assert state(str(root), KEY) == "complete"


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_index_given_by_its_address_is_used(root: Path, wheels: Path, tool: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("quick_pip" if tool == "pip" else "uv")
    with serve_index(wheels) as index:
        done = build(spec_of(root, "", lock_line(wheels / "tiny-1.0-py3-none-any.whl"), index_url=index.url), run, lambda _line: None)
    assert done["error"] == ""
    assert done["description"]["distributions"] == {"tiny": "1.0"}


def test_broken_locks_leave_nothing_and_tell_why_with_pip(root: Path, wheels: Path, quick_pip: None) -> None:
    check_broken_locks(root, wheels)


def test_broken_locks_leave_nothing_and_tell_why_with_uv(root: Path, wheels: Path, uv: Path) -> None:
    check_broken_locks(root, wheels)


def check_broken_locks(root: Path, wheels: Path) -> None:
    line = lock_line(wheels / "tiny-1.0-py3-none-any.whl")
    foreign = make_wheel(wheels, "foreign", tag="cp399-cp399-macosx_99_0_arm64")
    machine = os.uname().machine
    for lock, expected in [
        (line.replace("sha256:", "sha256:0")[:-2] + "\n", "tiny==1.0 has none of the lock's hashes|DO NOT MATCH|none of the lock's hashes"),
        (line + lock_line(foreign), rf"there is no wheel of foreign(==1\.0)? for {os.uname().sysname} {machine} .*with Python 3\.\d+\.\d+"),
        (line.replace("tiny==", "absent=="), r"there is no wheel of absent(==1\.0)? for"),
    ]:
        error = build(spec_of(root, wheels, lock), run, lambda _line: None)["error"]
        assert error.startswith(f"environment {root}/envs/{KEY} could not be built: "), error
        assert re.search(expected, error), error
        assert state(str(root), KEY) == "absent"


def test_index_that_cannot_be_reached_is_told(root: Path, wheels: Path, uv: Path) -> None:
    with serve_index(wheels) as index:
        pass
    error = build(spec_of(root, "", lock_line(wheels / "tiny-1.0-py3-none-any.whl"), index_url=index.url), run, lambda _line: None)["error"]
    assert "the index cannot be reached; without internet, use a wheelhouse" in error
    assert state(str(root), KEY) == "absent"


def test_root_that_cannot_be_written_to_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = build(spec_of(tmp_path / "file", "", ""), run, lambda _line: None)["error"]
    assert str(tmp_path / "file") in error
    assert "File exists" in error  # mkdir(2) of the directory that should be there


def test_environment_with_a_broken_mlx_is_not_complete(root: Path, wheels: Path, any_tool: str) -> None:
    broken = make_wheel(wheels, "mlx", files={"mlx/core.py": "raise ImportError('no Metal device')\n"}, requires="mlx-metal==1.0")
    done = build(spec_of(root, wheels, lock_line(broken)), run, lambda _line: None)
    assert f"import mlx.core fails in {root}/envs/{KEY}" in done["error"]
    assert "no Metal device" in done["error"]
    assert "mlx-metal" in done["error"].splitlines()[-1], "what it lacks is told as well"
    assert state(str(root), KEY) == "incomplete"


BUILDER = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment
from tests.unit.environments import run
if sys.argv[3] == "no_uv":
    environment.find_uv = lambda run: ""
print(json.dumps(environment.build(json.loads(sys.argv[2]), run, lambda line: None)))
"""


def start_builder(spec: dict[str, Any], tool: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", BUILDER, json.dumps([path for path in sys.path if path]), json.dumps(spec), tool]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_killed_build_is_not_used_nor_in_the_way_of_the_next(root: Path, wheels: Path, any_tool: str) -> None:
    lock = lock_line(wheels / "tiny-1.0-py3-none-any.whl")
    path = str(root / "envs" / KEY)
    with serve_index(wheels) as index:
        index.hang = True
        with start_builder(spec_of(root, "", lock, index_url=index.url), any_tool) as builder:
            assert index.asked.wait(60), "nobody asked for the wheel"
            builder.send_signal(signal.SIGKILL)
        assert job_processes(environment_lock.mark_of(path), set()), "what it started is still at work"
        assert state(str(root), KEY) == "incomplete"
        done = build(spec_of(root, wheels, lock), run, lambda _line: None)
        assert done["error"] == ""
        assert not job_processes(environment_lock.mark_of(path), set())
    assert state(str(root), KEY) == "complete"


def test_of_two_builds_at_once_one_builds_and_one_waits(root: Path, wheels: Path, uv: Path) -> None:
    spec = spec_of(root, wheels, lock_line(wheels / "tiny-1.0-py3-none-any.whl"))
    second: list[dict[str, Any]] = []
    waited = threading.Event()

    def build_too() -> None:
        second.append(build(spec, run, lambda line: waited.set() if "another deploy" in line else None))

    thread = threading.Thread(target=build_too)

    def start_other_and_wait(argv: list[str], **options: Any) -> tuple[int, str]:
        if argv[1] == "venv":
            thread.start()
            assert waited.wait(60)
        return run(argv, **options)

    first = build(spec, start_other_and_wait, lambda _line: None)
    thread.join()
    assert (first["error"], second[0]["error"]) == ("", "")
    assert (first["changed"], second[0]["changed"]) == (True, False)
    assert first["digest"] == second[0]["digest"]


# --- keeping and removing ---


def test_prune_keeps_the_current_and_the_newest_others(root: Path) -> None:
    for number, key in enumerate(["newest", "newer", "old", "oldest"]):
        fake(root, key, age=number + 1)
    fake(root, "current", age=100)
    fake(root, "half", complete=False)
    done = prune(str(root), 2, "current")
    assert done == {"removed": ["half", "old", "oldest"], "in_use": [], "failed": []}
    assert sorted(path.name for path in (root / "envs").iterdir() if path.is_dir()) == ["current", "newer", "newest"]


def test_environment_of_a_running_job_stays_until_its_end(root: Path) -> None:
    path = fake(root, "old", age=5)
    fake(root, "current")
    EnvLock.take(str(path), print).release()
    held = hold(str(path))
    assert prune(str(root), 0, "current") == {"removed": [], "in_use": ["old"], "failed": []}
    assert state(str(root), "old") == "complete"
    os.close(held)
    assert prune(str(root), 0, "current")["removed"] == ["old"]
    with pytest.raises(FileNotFoundError):
        hold(str(path))


def test_environment_that_a_job_uses_is_not_made_again(root: Path, wheels: Path) -> None:
    """Somebody has taken a package out of it by hand; the job may still get on with what is left."""
    path = fake(root, KEY, complete=False)
    EnvLock.take(str(path), print).release()
    held = hold(str(path))
    done = build(spec_of(root, wheels, lock_line(wheels / "tiny-1.0-py3-none-any.whl")), run, print)
    os.close(held)
    assert "is used by a running job" in done["error"]
    assert path.exists()


def test_environment_that_is_being_built_is_not_removed(root: Path) -> None:
    path = fake(root, "half", complete=False)
    with EnvLock.take(str(path), print):
        assert prune(str(root), 0, "current")["in_use"] == ["half"]
    assert path.exists()


def test_environment_deployed_again_is_the_last_to_go(root: Path) -> None:
    fake(root, "a", age=10)
    fake(root, "b", age=5)
    prune(str(root), 9, "a")
    fake(root, "c")
    assert prune(str(root), 1, "c")["removed"] == ["b"]

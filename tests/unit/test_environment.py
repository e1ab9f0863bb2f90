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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment, _envlock, _interpreter
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._envcopy import abandon_copy, begin_copy, finish_copy, replace_prefix
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._environment import (
    PROBE,
    build,
    describe,
    environment_digest,
    environment_key,
    prune,
    state,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._envlock import EnvLock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._interpreter import NotThere, find_python
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._lock import hold
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._pip import explain
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import job_processes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._own_environment import own_environment, reasons_not_to_copy

from .environments import lock_line, make_wheel, run, serve_index

BASE = sys._base_executable  # type: ignore[attr-defined]
KEY = "0123456789abcdef"
LINUX = {"system": "Linux", "machine": "x86_64"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "wheels", "tiny")
    return tmp_path / "wheels"


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_environment, "find_uv", lambda run: "")


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
    step = _environment._step

    def copy_or_step(spec: dict[str, Any], run: Any, progress: Any, argv: list[str]) -> None:
        step(spec, run, progress, ["cp", "-a", str(made_venv), argv[-1]] if argv[1:4] == ["-I", "-m", "venv"] else argv)

    monkeypatch.setattr(_environment, "_step", copy_or_step)


def spec_of(root: Path, wheels: Path | str, lock: str, **more: Any) -> dict[str, Any]:
    return {"root": str(root), "key": KEY, "python": BASE, "lock": lock, "wheels": str(wheels), "index_url": "", **more}


def fake(root: Path, key: str, complete: bool = True, age: float = 0) -> Path:
    """Make a directory that passes for an environment."""
    path = root / "envs" / key
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(BASE)
    if complete:
        marker = path / ".mlxlaunch.json"
        marker.write_text(json.dumps({"key": key, "metadata": []}))
        os.utime(marker, (marker.stat().st_mtime - age,) * 2)
    return path


# --- finding Python ---


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
    folders = _interpreter._folders
    monkeypatch.setattr(_interpreter, "_folders", lambda: [folder for folder in folders() if folder.startswith(str(home))])
    monkeypatch.setattr(_interpreter, "find_uv", lambda run: "")
    return home


def test_real_interpreter_tells_what_it_is() -> None:
    found = find_python(BASE, run)
    assert found["version"] == platform.python_version()
    assert found["implementation"] == "cpython"
    assert found["platform"]["machine"] == os.uname().machine
    assert os.path.realpath(found["path"]) == os.path.realpath(BASE)


def test_path_into_a_virtual_environment_means_its_base_interpreter() -> None:
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
        NotThere, match=r"no Python 3\.12 on this host: found 3\.13\.0 \(.*python3\.13\), 3\.9\.18 \(.*Homebrew.*mlx_python"
    ):
        find_python("3.12", run)


def test_too_old_python_is_told_when_none_is_named(only: Path) -> None:
    make_python(only / "bin", "python3.9", "3.9.18")
    with pytest.raises(NotThere, match=r"no Python 3\.10 or newer on this host: found 3\.9\.18"):
        find_python("", run)


def test_path_that_is_no_python_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="python /nowhere/python3 is not there"):
        find_python("/nowhere/python3", run)
    (tmp_path / "python3").write_text("#!/bin/sh\necho wrong architecture >&2\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    with pytest.raises(NotThere, match="cannot be run: wrong architecture"):
        find_python(str(tmp_path / "python3"), run)
    with pytest.raises(NotThere, match="neither a path nor a version"):
        find_python("three", run)


def test_apples_placeholder_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_tools(argv: list[str], **_options: object) -> tuple[int, str]:
        asked.append(argv[0])
        return 2, "xcode-select: error: unable to get active developer directory"

    monkeypatch.setattr(_interpreter, "sys", type("", (), {"platform": "darwin"}))
    monkeypatch.setattr(_interpreter.os.path, "realpath", str)
    monkeypatch.setattr(_interpreter.os.path, "exists", lambda path: True)
    with pytest.raises(NotThere, match="xcode-select --install"):
        find_python("/usr/bin/python3", no_tools)
    assert asked == ["/usr/bin/xcode-select"]


def test_uv_is_asked_when_nothing_else_is_found(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = make_python(only / "elsewhere", "python3.12", "3.12.7")
    uv = only / "uv"
    uv.write_text(f'#!/bin/sh\n[ "$*" = "python find 3.12" ] && [ "$UV_PYTHON_DOWNLOADS" = never ] && echo {python}\n')
    uv.chmod(0o755)
    monkeypatch.setattr(_interpreter, "find_uv", lambda run: str(uv))
    assert find_python("3.12", run)["version"] == "3.12.7"


# --- its name ---


def test_key_is_of_lock_exact_python_and_platform_only() -> None:
    python = {"version": "3.12.4", "implementation": "cpython", "path": "/usr/bin/python3.12"}
    key = environment_key("ab", python, {**LINUX, "release": "2.36"})
    assert key == environment_key("ab", {**python, "path": "/opt/python3"}, {**LINUX, "release": "2.39"})
    others = [
        environment_key("ac", python, LINUX),
        environment_key("ab", {**python, "version": "3.12.5"}, LINUX),
        environment_key("ab", python, {**LINUX, "machine": "aarch64"}),
    ]
    assert len({key, *others}) == 4
    assert len(key) == 16


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


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: failed to write to file\n  Caused by: No space left on device (os error 28)", "the disk is full"),
        (
            "Retrying after 'Temporary failure in name resolution'\nERROR: No matching distribution found for mlx==0.32.4",
            "no name resolution",
        ),
        ("ERROR: No matching distribution found for mlx==0.32.4", "there is no wheel of mlx==0.32.4 for HERE"),
        ("The virtual environment was not created successfully because ensurepip is not\navailable.", "cannot make environments"),
        ("a\nb\nc", "a\nb\nc"),
    ],
)
def test_cause_of_a_failure_is_told_with_the_last_lines(said: str, cause: str) -> None:
    told = explain(said, "HERE")
    assert cause in told
    assert said.splitlines()[-1] in told


def test_environment_whose_mlx_cannot_be_imported_is_not_complete(root: Path, wheels: Path, any_tool: str) -> None:
    broken = make_wheel(wheels, "mlx", files={"mlx/core.py": "raise ImportError('no Metal device')\n"}, requires="mlx-metal==1.0")
    done = build(spec_of(root, wheels, lock_line(broken)), run, lambda _line: None)
    assert f"import mlx.core fails in {root}/envs/{KEY}" in done["error"]
    assert "no Metal device" in done["error"]
    assert "mlx-metal" in done["error"].splitlines()[-1], "what it lacks is told as well"
    assert state(str(root), KEY) == "incomplete"


BUILDER = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment
from tests.unit.environments import run
if sys.argv[3] == "no_uv":
    _environment.find_uv = lambda run: ""
print(json.dumps(_environment.build(json.loads(sys.argv[2]), run, lambda line: None)))
"""


def start_builder(spec: dict[str, Any], tool: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", BUILDER, json.dumps([path for path in sys.path if path]), json.dumps(spec), tool]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_build_that_was_killed_is_not_used_and_does_not_disturb_the_next(root: Path, wheels: Path, any_tool: str) -> None:
    lock = lock_line(wheels / "tiny-1.0-py3-none-any.whl")
    path = str(root / "envs" / KEY)
    with serve_index(wheels) as index:
        index.hang = True
        with start_builder(spec_of(root, "", lock, index_url=index.url), any_tool) as builder:
            assert index.asked.wait(60), "nobody asked for the wheel"
            builder.send_signal(signal.SIGKILL)
        assert job_processes(_envlock.mark_of(path), set()), "what it started is still at work"
        assert state(str(root), KEY) == "incomplete"
        done = build(spec_of(root, wheels, lock), run, lambda _line: None)
        assert done["error"] == ""
        assert not job_processes(_envlock.mark_of(path), set())
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
            assert waited.wait(30)
        return run(argv, **options)

    first = build(spec, start_other_and_wait, lambda _line: None)
    thread.join()
    assert (first["error"], second[0]["error"]) == ("", "")
    assert (first["changed"], second[0]["changed"]) == (True, False)
    assert first["digest"] == second[0]["digest"]


# --- keeping and removing ---


def test_prune_keeps_the_current_one_and_the_newest_of_the_others(root: Path) -> None:
    for number, key in enumerate(["newest", "newer", "old", "oldest"]):
        fake(root, key, age=number + 1)
    fake(root, "current", age=100)
    fake(root, "half", complete=False)
    done = prune(str(root), 2, "current")
    assert done == {"removed": ["half", "old", "oldest"], "in_use": [], "failed": []}
    assert sorted(path.name for path in (root / "envs").iterdir() if path.is_dir()) == ["current", "newer", "newest"]


def test_environment_of_a_running_job_is_not_removed_until_the_job_ends(root: Path) -> None:
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


# --- copying the controller's environment ---


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


def test_copied_environment_runs_its_scripts_without_the_original(root: Path, source: Path) -> None:
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


def test_reasons_not_to_copy_name_host_and_difference(source: Path) -> None:
    own = own_environment(str(source))
    same = {"version": own.version, "implementation": "cpython", "platform": own.description["platform"]}
    mac = {**same, "platform": {"system": "Darwin", "machine": "arm64"}}
    assert reasons_not_to_copy(own, {"a": same}) == []
    reasons = reasons_not_to_copy(own, {"a": same, "b": mac, "c": {**same, "version": "3.1.0"}, "d": None})
    assert [reason.split(":")[0] for reason in reasons] == ["b", "c", "d"]
    assert "the host is Darwin arm64, the controller " in reasons[0]
    assert f"is Python 3.1.0, on the controller {own.version}" in reasons[1]
    assert f"{own.base} (Python {own.version}) is not there" in reasons[2]


def test_prefix_is_replaced_as_a_whole_path_only() -> None:
    text = b"#!/a/env/bin/python\n'/a/env' /a/env2 /b/a/env /a/env.old\n"
    assert replace_prefix(text, b"/a/env", b"/x") == b"#!/x/bin/python\n'/x' /a/env2 /b/a/env /a/env.old\n"
    assert replace_prefix(b"\0/a/env", b"/a/env", b"/x") == b"\0/a/env"


def test_an_environment_says_of_its_distributions_what_importlib_metadata_does() -> None:
    theirs = "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"

    def output(program: str) -> str:
        return subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout

    expected = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(output(theirs)).items()}
    assert {"pip", "ansible-core"} <= set(expected)
    assert json.loads(output(PROBE).removeprefix("MLXLAUNCH "))["distributions"] == expected

"""What is sent to a host, and the command that runs it there."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import (
    STARTED,
    host_command,
    host_sources,
    supervisor,
)
from tests.support.users import NOBODY, ONLY_ROOT, as_user

PACKAGE = "ansible_collections.mlxlaunch.cluster.plugins.module_utils"


def test_equal_commands_are_for_equal_programs() -> None:
    assert host_command([], b"program") == host_command([], b"program")
    assert host_command([], b"program") != host_command([], b"progran")


def test_program_is_started_by_sh_whatever_the_login_shell() -> None:
    words = shlex.split(host_command([], supervisor()))
    assert words[:3] == ["exec", "/bin/sh", "-c"]
    assert len(words) == 4
    assert "\n" not in host_command([], supervisor())


def test_wanted_python_is_tried_first_and_each_once() -> None:
    script = shlex.split(host_command(["/env/bin/python", "/usr/bin/python3"], b""))[3]
    tried = [part.split() for part in script.rpartition("; else ")[2].split("; ") if part.startswith(("run ", "named "))]
    others = [["run", python] for python in ("/opt/homebrew/bin/python3", "/usr/local/bin/python3", "python3")]
    assert tried == [["named", "/env/bin/python"], ["named", "/usr/bin/python3"], *others]


def test_python_path_with_space_and_quote_stays_one_word() -> None:
    script = shlex.split(host_command(["/it's here/python"], b""))[3]
    assert shlex.split(script.rpartition("; else ")[2].split(";")[1]) == ["named", "/it's here/python"]


PRINT = zlib.compress(b"import sys; print(sys.executable)")


def started(own: list[Path], more: list[Path] = [], trust_owner: str = "") -> str:  # noqa: B006
    """Return the interpreter that a host starts, of these and of those that this machine has."""
    command = host_command([str(path) for path in own], PRINT, [str(path) for path in more], trust_owner)
    done = subprocess.run(["/bin/sh", "-c", command], input=PRINT, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().strip()


@ONLY_ROOT
@pytest.mark.parametrize("what", ["program", "its directory", "a directory on the way", "a link to it"])
def test_root_starts_no_python_that_others_can_change(tmp_path: Path, what: str) -> None:
    program = tmp_path / "opt" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    link = tmp_path / "python"
    link.symlink_to("opt/bin/../bin/python3")
    assert started([link]) == str(link)
    changed = {"program": program, "its directory": program.parent, "a directory on the way": tmp_path / "opt", "a link to it": link}[what]
    os.lchown(changed, NOBODY, NOBODY)
    assert started([link]) != str(link)
    assert started([], [link]) != str(link)
    assert started([link], trust_owner=pwd.getpwuid(NOBODY).pw_name) == str(link)
    assert started([link], trust_owner="nosuchuser") != str(link)
    if changed not in (program, link):
        os.lchown(changed, 0, 0)
        changed.chmod(0o775)
        assert started([link]) != str(link)


@ONLY_ROOT
@pytest.mark.parametrize("target", ["release", "{there}", "../open/../release", "second"])
@pytest.mark.parametrize("what", ["nothing", "link", "folder"])
def test_root_follows_no_folder_link_that_others_can_change(tmp_path: Path, what: str, target: str) -> None:
    program = tmp_path / "release" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "release").symlink_to("../release")
    (folder / "second").symlink_to("../open/release")
    link = folder / "current"
    link.symlink_to(target.format(there=program.parents[1]))
    if what == "link":
        os.lchown(link, NOBODY, NOBODY)
    elif what == "folder":
        folder.chmod(0o777)
    named = link / "bin" / "python3"
    assert (started([named]) == str(named)) == (what == "nothing")


@ONLY_ROOT
@pytest.mark.parametrize("shell", ["bash", "dash", "zsh"])
def test_root_checks_a_python_alike_in_every_sh(tmp_path: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    link = tmp_path / "it's a folder" / "python"
    link.parent.mkdir()
    link.symlink_to("../python//./python3")
    program = tmp_path / "python" / "python3"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    script = shlex.split(host_command([str(link)], PRINT))[3]
    found = []
    for owner in (0, NOBODY):
        os.lchown(program, owner, owner)
        argv = ["sh", "-c", script]
        done = subprocess.run(argv, executable=shutil.which(shell), input=PRINT, capture_output=True, check=True, timeout=60)
        found.append(done.stdout.decode().strip())
    assert (found[0], found[1] != str(link)) == (str(link), True)


@ONLY_ROOT
def test_root_prefers_the_systems_python_to_the_ranks(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert started([], [link]) == ("/usr/bin/python3" if Path("/usr/bin/python3").exists() else str(link))


@ONLY_ROOT
def test_plain_user_starts_the_ranks_python_first(tmp_path: Path) -> None:
    mine = python_of_kind(tmp_path, 'case $1 in -V) echo Python 3.12.1;; *) echo "$@";; esac')
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    shells = as_user(NOBODY, lambda: os.popen(host_command([], PRINT, [mine])).read())  # noqa: S605
    assert shells.startswith("-I -S -c import sys,zlib;")


def python_of_kind(folder: Path, script: str, name: str = "python3") -> str:
    """Return the path of a program that stands where a Python is expected."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n" if script.isprintable() and script else script)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "script", ["exit 1", "echo Python 2.7.18 >&2", "echo Python 3.8.18", "echo something else", "\x7fELF\x02\x01\x01\0", "not elf\n"]
)
def test_python_that_cannot_run_leaves_the_others_their_turn(tmp_path: Path, script: str) -> None:
    assert started([], [Path(python_of_kind(tmp_path, script))]) != str(tmp_path / "python3")


@pytest.mark.parametrize("version", ["2.7.18", "3.0", "3.8.18", "3.8.0rc1", "3.9.1", "3.10.14", "3.14.0a1", "3.12.3 :: Anaconda, Inc."])
def test_python_that_is_named_and_too_old_is_an_error(tmp_path: Path, version: str) -> None:
    old = version.startswith(("2.", "3.8", "3.0"))
    mine = python_of_kind(tmp_path, f'[ "$1" = -V ] || exec {sys.executable} "$@"; echo Python {version}')
    done = subprocess.run(["/bin/sh", "-c", host_command([mine], PRINT)], input=PRINT, capture_output=True, check=False, timeout=60)
    said = f"Python {version} at {mine} is too old, 3.9 is needed; set ansible_python_interpreter to another, or install one"
    assert (done.returncode, done.stderr.decode().splitlines()[-1]) == ((127, said) if old else (0, STARTED))


def test_nothing_of_the_users_python_is_loaded() -> None:
    assert " -I -S -c " in host_command([], supervisor())


def test_host_reads_exactly_the_program() -> None:
    assert f"read({len(supervisor())})" in host_command([], supervisor())


def test_no_python_is_said_as_such() -> None:
    script = shlex.split(host_command([], supervisor()))[3]
    script = script.partition("; if [ -O / ]")[0] + "; none='no Python 3 was found'; fail"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr.splitlines()) == (127, [STARTED, "no Python 3 was found"])


def test_programs_beside_ranks_travel_as_sources() -> None:
    sources = host_sources()
    assert "def main" in sources.mpi_shim
    for text in (sources.sitecustomize_hook, sources.init_guard, sources.mpi_shim):
        compile(text, "source", "exec")
        assert PACKAGE not in text

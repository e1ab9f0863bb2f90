"""Patterns mean what they mean to git: git itself is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.gitignore import Patterns, read_patterns

pytestmark = pytest.mark.usefixtures("own_cache")

names = st.text(alphabet="ab.*[]-! \\#?", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
pieces = st.sampled_from(
    ["a", "b", "*", "**", "?", "/", "/", "!", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[[:alpha:]]", "[b", "\\", "\\ ", " ", ".", "-", "#"]
)
lines = st.lists(pieces, max_size=6).map("".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    try:
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    except FileNotFoundError:
        pytest.skip("no git here")
    return folder


def ask_git(repository: Path, text: str, path: str) -> bool:
    """Return whether git finds a path ignored; one with a slash at its end is made, as git looks whether it is a directory."""
    (repository / ".gitignore").write_text(text)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "check-ignore", "--no-index", "--quiet", "-z", "--stdin"]
    if path.endswith("/"):
        (repository / path).mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=repository, env=environment, input=path.rstrip("/").encode(), check=False)
    finally:
        shutil.rmtree(repository / path.split("/", maxsplit=1)[0], ignore_errors=True)
    assert done.returncode in {0, 1}
    return done.returncode == 0


def is_ignored(patterns: Patterns, path: str) -> bool:
    """Ask about a path from the top down, as a walk does."""
    parts = path.rstrip("/").split("/")
    for depth in range(1, len(parts) + 1):
        if patterns.match("/".join(parts[:depth]), is_folder=depth < len(parts) or path.endswith("/")):
            return True
    return False


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines, max_size=4).map("\n".join), st.lists(names, min_size=1, max_size=3).map("/".join), st.booleans())
def test_every_pattern_means_what_git_says(repository: Path, text: str, path: str, is_folder: bool) -> None:
    path += "/" if is_folder else ""
    assert is_ignored(read_patterns(text), path) == ask_git(repository, text, path)


@pytest.mark.parametrize(
    ("text", "ignored", "kept"),
    [
        ("*\n!*/\n!*.py", ["a", "b/c"], ["x.py", "b/", "b/x.py"]),
        ("build/", ["build/", "src/build/"], ["build", "rebuild/"]),
        ("/build", ["build", "build/"], ["src/build"]),
        ("*.log\n!keep", ["keep/a.log", "a.log"], ["keep/", "keep/a"]),
        ("a/**/b\n**/c\nd/**", ["a/b", "a/x/y/b", "c", "x/c", "d/x"], ["b", "x/a/b", "d/"]),
        ("data/*\n!data/small.csv", ["data/big.csv"], ["data/", "data/small.csv"]),
        ("# all\n\\#x\n\\!y\ntrail \nkept\\ ", ["#x", "!y", "trail", "kept "], ["# all", "trail ", "kept"]),
        ("a\r\nb\r\n", ["a", "b"], ["c"]),
        ("\ufeffa", ["a"], ["b"]),
        ("[a-c]x\n[!0-9]y\n[[:digit:]]z\n[]]w", ["bx", "ay", "1z", "]w"], ["dx", "1y", "az"]),
        ("ü?\n日本", ["üé", "日本/"], ["ü"]),
        ("foo", ["foo"], ["foo\n"]),
    ],
)
def test_well_known_files(text: str, ignored: list[str], kept: list[str]) -> None:
    patterns = read_patterns(text)
    assert [path for path in ignored if not is_ignored(patterns, path)] == []
    assert [path for path in kept if is_ignored(patterns, path)] == []


def test_no_pattern_says_nothing() -> None:
    assert read_patterns("\n# x\n\n!\n/\n").match("a", is_folder=False) is None
    assert Patterns(["a", "!b"]).match("b", is_folder=True) is False

"""Paths and names of every kind: what belongs to a project, what is refused with which line, and what runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import scan_project
from tests.support.delays import without_delays
from tests.support.refusals import refusal

MLXLAUNCH = Path(sys.executable).parent / "mlxlaunch"
PATIENCE = 200  # seconds after which a launch hangs


@dataclass(frozen=True)
class Way:
    """A way to name the same project, whose directory is `real` and whose script is `train.py`.

    Attributes:
        id: of the row.
        script, project_dir: as they are given; {here} is the directory that `real` is in.
        cwd: the current directory, below that one.
    """

    id: str
    script: str
    project_dir: str
    cwd: str = "real"


WAYS = (
    Way("relative", "train.py", "."),
    Way("absolute", "{here}/real/train.py", "{here}/real"),
    Way("directory through a link", "train.py", "{here}/link"),
    Way("script through a link", "{here}/link/train.py", "."),
    Way("both through a link", "{here}/link/train.py", "{here}/link"),
    Way("through a link to a link", "../link2/train.py", "."),
    Way("slash at the end", "train.py", "./"),
    Way("many slashes", "..//real///train.py", "{here}//real//"),
    Way("dots", "../real/./src/../train.py", "../real/src/.."),
    Way("from elsewhere", "../real/train.py", "../real", "other"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("real/src", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "real/train.py").write_text("print()")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "link2").symlink_to("link")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_one_project_has_many_names(here: Path, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / way.cwd)
    project = select(way.script.format(here=here), way.project_dir.format(here=here))
    assert (project.script, project.paths) == ("train.py", ("src", "train.py"))


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "socket": ("agent.sock", listen, "agent.sock is a socket, not a file; leave it out with mlx_exclude"),
    "pipe": ("pipe", os.mkfifo, "pipe is a named pipe, not a file; leave it out"),
    "link to the disk": ("data", link_to("/data"), "leads to an absolute path, out of the project directory; leave it out"),
    "link out of it": ("data", link_to("../other"), "leads out of the project directory"),
    "link to itself": ("data", link_to("data"), "leads to itself"),
    "link that a slash spares": ("ignored", link_to("/data"), "ends in a slash is for no link, write it without; or leave it out"),
}


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent_is_one_line(
    here: Path, name: str, make: Callable[[Path], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "real")
    Path(".gitignore").write_text("ignored/\n")
    make(here / "real" / name)
    assert message in refusal(select, "train.py", ".")
    assert name not in select("train.py", ".", [name]).paths


@pytest.mark.parametrize(("directory", "what"), [("/", "the root directory"), ("{here}/real", "your home directory")])
def test_project_that_cannot_be_meant_is_refused(here: Path, directory: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "link"))
    message = refusal(select, str(here / "real/train.py"), directory.format(here=here))
    assert f" is {what}; name that of the program alone (mlx_project_dir, --project-dir)" in message


NAMES = {
    "blanks": " a b ",
    "quotes": 'it\'s "q" `x` $HOME',
    "composed": unicodedata.normalize("NFC", "größe"),
    "decomposed": unicodedata.normalize("NFD", "größe"),
    "line break": "a\nb",
    "backslash": "a\\b",
    "percent and braces": "{{ x }} %s {% y %}",
    "dash": "-rf",
    "long": "x" * 240,
    "no text": os.fsdecode(b"\xff\xfe"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_belongs_to_a_project(here: Path, name: str) -> None:
    folder = here / name
    folder.mkdir()
    for each in ("train.py", name):
        (folder / each).write_text("1")
    project = select(f"{folder}/train.py", str(folder))
    assert len(scan_project(project).entries) == 2
    assert project.name.isascii()


HARD = ("quotes", "decomposed", "line break", "percent and braces")


@pytest.mark.sweep
@pytest.mark.parametrize("name", [NAMES[id_] for id_ in HARD], ids=HARD)
def test_script_of_any_name_runs(here: Path, name: str) -> None:
    (here / f"{name}.py").write_text("import sys; print(ascii(sys.argv[0]))")
    done = subprocess.run(
        [MLXLAUNCH, "run", "-n", "1", f"{name}.py"], cwd=here, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, ascii(str(here / f"{name}.py")) + "\n"), done.stderr


BAD_WORDS = {
    "unknown user": (("--project-dir", "~nosuch/x", "train.py"), "--project-dir ~nosuch/x: there is no such user here"),
    "relative root": (("--root", "x", "train.py"), "--root x: want an absolute path"),
    "root of another user": (("--root", "~bob/x", "train.py"), "--root ~bob/x: want an absolute path"),
    "log dir in a file": (("--log-dir", "train.py", "train.py"), "cannot make the run directory"),
}


@pytest.mark.sweep
@pytest.mark.parametrize(("words", "message"), BAD_WORDS.values(), ids=BAD_WORDS)
def test_path_that_cannot_be_is_one_line(here: Path, words: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        [MLXLAUNCH, "run", "-n", "1", *words], cwd=here / "real", capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    told = without_delays(done.stderr).splitlines()
    assert (done.returncode, done.stdout, len(told)) == (2, "", 1), done.stderr
    assert message in told[0]

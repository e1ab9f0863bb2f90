"""Projects that somebody works in while they are sent: what runs, and what arrives on the hosts."""

from __future__ import annotations

import shlex
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH, Done
from tests.integration.deploying import PATIENCE, ROOT, Site, brought
from tests.support.waiting import wait_until

LISTING = "import os; print(sorted(os.path.join(a, c) for a, _, b in os.walk('.') for c in b if '__pycache__' not in a), flush=True)\n"
BIG = 300_000  # bytes: too many to go with a call


@dataclass(frozen=True)
class Output:
    """A command line whose output goes into the project.

    Attributes:
        id: of the row.
        line: for a shell in the project; RUN stands for the launch.
        stays: files that come to be and do not go to any host.
        steady: whether a second launch sends nothing.
    """

    id: str
    line: str
    stays: tuple[str, ...]
    steady: bool = True


OUTPUTS = (
    Output("redirected", "RUN > train.log", ("train.log",)),
    Output("appended with errors", "RUN >> train.log 2>&1", ("train.log",)),
    Output("in a directory", "mkdir -p logs; RUN 2> logs/err > logs/out", ("logs/err", "logs/out")),
    Output("tee", "RUN 2>&1 | tee train.log; test -s train.log", (), steady=False),
    Output("nohup", "nohup RUN > nohup.out 2>&1 < /dev/null & wait $!", ("nohup.out",)),
    Output("log dir", "RUN --log-dir ./runs", ("runs",)),
    Output("log dir of an earlier launch", "RUN --log-dir ./runs && RUN", ("runs",)),
    Output("log dir that is the project", "RUN --log-dir . && RUN", ()),
)
# Programs that write into the project all the time, and files that may never arrive in half.
WRITERS = {
    "log grows": "while :; do echo line >> grows.log; done",
    "saved again and again": "n=0; while :; do n=$((n+1)); echo $n > t; mv t saved.json; done",
    "swap files come and go": "while :; do : > .train.py.swp; rm .train.py.swp; mkdir d; : > d/x; rm -r d; done",
    "large file rewritten": f"while :; do head -c {BIG} /dev/urandom > big.bin; done",
}


def launch_line(site: Site, inventory: Path, *words: str) -> str:
    return shlex.join([*map(str, MLXLAUNCH), "run", "-i", str(inventory), "--project-dir", ".", *words, "train.py"])


@pytest.fixture
def project(site: Site) -> Path:
    folder = site.file("llm/train.py", LISTING).parent
    site.file("llm/data/big", b"#" * BIG)
    return folder


def shell(site: Site, project: Path, line: str) -> Done:
    return site.cluster._run(["/bin/bash", "-o", "pipefail", "-c", line], cwd=project, timeout=PATIENCE)


@contextmanager
def writing(project: Path, line: str) -> Iterator[None]:
    """Write into a project all the time, from before the block is entered."""
    before = len([*project.iterdir()])
    process = subprocess.Popen(["/bin/sh", "-c", line], cwd=project, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len([*project.iterdir()]) > before, "the first file is written")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.sweep
@pytest.mark.parametrize("row", OUTPUTS, ids=lambda row: row.id)
def test_output_into_the_project_keeps_nothing_from_running(site: Site, project: Path, row: Output) -> None:
    inventory = site.inventory(2)
    line = row.line.replace("RUN --log-dir ./runs", launch_line(site, inventory, "--log-dir", "./runs"))
    line = line.replace("RUN --log-dir .", launch_line(site, inventory, "--log-dir", ".")).replace("RUN", launch_line(site, inventory))
    done = shell(site, project, line)
    assert done.returncode == 0, done.stdout + done.stderr
    for version in site.hosts[0].path(f"{ROOT}/projects/llm").iterdir():
        assert not [name for name in row.stays if (version / name).exists()]
    if row.steady:
        before = [site.versions(host, "llm") for host in site.hosts[:2]]
        assert before == [[*before[0]]] * 2
        assert len(before[0]) == 1
        assert shell(site, project, line).returncode == 0
        assert [site.versions(host, "llm") for host in site.hosts[:2]] == before


@pytest.mark.parametrize("line", WRITERS.values(), ids=WRITERS)
def test_writers_in_the_project_keep_nothing_from_running(site: Site, project: Path, line: str) -> None:
    with writing(project, line):
        done = site.run("--project-dir", ".", "train.py", cwd=project)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told == [told[0]] * 2  # the same everywhere
    names = {"grows.log", "saved.json", "big.bin"} & {name[2:] for name in literal_eval(told[0])}
    for name in names:  # what has arrived is whole, and the same on all hosts
        places = [path for host in site.hosts[:2] for path in host.path(f"{ROOT}/projects/llm").glob(f"[0-9a-f]*/{name}")]
        copies = {path.read_bytes() for path in places}
        assert len({len(copy) for copy in copies} - {BIG}) <= (0 if name == "big.bin" else 1), name
    if not names and "swp" not in line:
        assert "written to at this moment, so it stays here: " in done.stderr


def test_all_of_it_launches_the_first_time_from_inside_the_project(site: Site, project: Path) -> None:
    inventory = site.inventory(2)
    for times in (2, 0):
        done = site.cluster._run(
            site.playbook_argv("site.yml", inventory=inventory, script="train.py", project_dir=".", log_dir="./runs"),
            cwd=project,
            timeout=PATIENCE,
            env={"ANSIBLE_CONFIG": str(Path(__file__).parents[2] / "ansible.cfg")},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert brought(done) + done.stdout.count(": brought the project") >= times
        assert [len(site.versions(host, "llm")) for host in site.hosts[:2]] == [1, 1]
    assert (project / "hostfile.json").exists()


@pytest.mark.parametrize("through_link", [False, True])
def test_script_runs_with_helper_package_and_data(site: Site, through_link: bool) -> None:
    site.file("src/train.py", "import helper, sys; print(helper.text(), sys.path[0].startswith('/opt'), flush=True)\n")
    site.file("src/helper.py", "from pkg import data\ndef text(): return data.read()\n")
    site.file("src/pkg/__init__.py", "")
    site.file("src/pkg/data.py", "import pathlib\ndef read(): return (pathlib.Path(__file__).parent / 'd.txt').read_text()\n")
    site.file("src/pkg/d.txt", "data")
    script = site.here / "src/train.py"
    if through_link:
        script = site.here / "bin" / "start.py"
        script.parent.mkdir()
        script.symlink_to("../src/train.py")
    done = site.run(script)
    assert (done.returncode, done.stdout) == (0, "data True\n" * 2), done.stderr
    assert "train.py goes with what it imports from beside it: helper.py, pkg/" in done.stderr


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("import sys, os; sys.path.append('lib'); __import__('hel' + 'per')", "name its directory with --project-dir (mlx_project_dir)"),
        (
            "import ansible_runner",
            "ansible_runner is installed here, and not where the rank ran; bring it with --environment (mlx_environment)",
        ),
    ],
)
def test_missing_module_ends_in_a_hint(site: Site, source: str, hint: str) -> None:
    site.file("lib/helper.py", "")
    script = site.file("train.py", source)
    done = site.run("--python", "/usr/bin/python3", script)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("  hint: ")]
    assert hint in line


def test_place_of_results_is_told_at_the_end(site: Site, project: Path) -> None:
    (project / "train.py").write_text("import os\nif os.environ['MLX_RANK'] == '1':\n    os.mkdir('out'); open('out/adapters', 'w')\n")
    done = site.run("--project-dir", ".", "train.py", cwd=project)
    assert done.returncode == 0, done.stderr
    [version] = site.versions(site.hosts[1], "llm")
    assert f"{ROOT}/projects/llm/{version}/out/adapters on node2" in done.stderr.splitlines()[-1]
    again = site.run("--project-dir", ".", "--", "true", cwd=project)
    assert "it wrote files" not in again.stderr


PLACES = {
    "python": ("--python", "~/bin/python", "train.py"),
    "script": ("~/mine.py",),
    "cwd": ("--cwd", "~/bin", "--", "pwd"),
    "command": ("--", "~/bin/python", "-c", "print(1)"),
    "root": ("--root", "~/mlx", "train.py"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("words", PLACES.values(), ids=PLACES)
def test_paths_on_hosts_begin_at_home_there(site: Site, words: tuple[str, ...]) -> None:
    for host in site.hosts[:2]:
        link = host.path("/root/bin/python")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(sys.executable)
        host.path("/root/mine.py").write_text("print(2)")
    site.file("train.py", "print(3)")
    done = site.run(*words)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2

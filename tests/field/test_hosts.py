"""Hosts as people have them: Pythons, login shells, PATH, TMPDIR, and hosts that are down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH, Cluster

Done = subprocess.CompletedProcess[str]
PATIENCE = 200  # seconds after which a launch hangs


def here(folder: Path, *words: str) -> Done:
    """Run `mlxlaunch run` on this machine, with a home and a directory of its own."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    argv = [*MLXLAUNCH, "run", *words]
    return subprocess.run(
        argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.fixture
def own_path(tmp_path: Path) -> str:
    """Give a PATH whose first directory has a program `mine` and a Python `mypython`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mine").symlink_to("/usr/bin/env")
    (tmp_path / "bin/mypython").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/mypython").chmod(0o755)
    return f"{tmp_path}/bin:/usr/bin:/bin"


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        pytest.param(("--env", "PATH={own}", "--", "mine"), 0, "MLX_RANK=1", id="program-of-the-ranks-path"),
        pytest.param(("--env", "PATH={own}", "--python", "mypython", "--", "x.py"), 0, "ran", id="python-of-the-ranks-path"),
        pytest.param(("--env", "PATH=bin:/usr/bin", "--", "mine"), 0, "MLX_RANK=1", id="relative-directory"),
        pytest.param(("--env", "PATH=/nowhere", "--", "hostname"), 3, "(looked in the ranks' own PATH, /nowhere)", id="not-in-it"),
        pytest.param(("--", "mine"), 3, "command mine is not there, or cannot be run", id="nowhere"),
        pytest.param(
            ("--", ".venv/bin/python", "-m", "pkg"), 3, ".venv/bin/python is not there, or cannot be run (looked in {here})", id="venv"
        ),
        pytest.param(("./crlf",), 3, r"command ./crlf wants the interpreter '/bin/sh\r', which is not there", id="line-ends"),
        pytest.param(("--", "./noint"), 3, "command ./noint wants the interpreter '/no/such', which is not there", id="interpreter"),
        pytest.param(("--", "/nowhere/python", "-m", "pkg"), 3, "/nowhere/python is not there, or cannot be run", id="whole-path"),
    ],
)
def test_program_is_checked_as_ranks_find_it(tmp_path: Path, own_path: str, words: tuple[str, ...], status: int, text: str) -> None:
    (tmp_path / "x.py").write_text("print('ran')")
    for name, first in (("crlf", "#!/bin/sh\r\n"), ("noint", "#!/no/such\n")):
        (tmp_path / name).write_bytes(first.encode())
        (tmp_path / name).chmod(0o755)
    done = here(tmp_path, "-n", "2", *(word.replace("{own}", own_path) for word in words))
    assert (done.returncode, text.replace("{here}", str(tmp_path)) in done.stdout + done.stderr) == (status, True), done.stderr


LOCK = "import multiprocessing as m\nif __name__ == '__main__':\n    lock = m.get_context('spawn').Lock()"
POOL = "from concurrent.futures import ProcessPoolExecutor as P\nif __name__ == '__main__':\n    print(list(P(1).map(abs, [1])))"
DAEMON = "import subprocess\nsubprocess.Popen(['sleep', '600'])"


@pytest.mark.parametrize(
    ("program", "warned"),
    [pytest.param(LOCK, False, id="resource-tracker"), pytest.param(POOL, False, id="pool"), pytest.param(DAEMON, True, id="left-behind")],
)
def test_only_what_stays_is_said_to_be_left_behind(tmp_path: Path, program: str, warned: bool) -> None:
    (tmp_path / "x.py").write_text(program)
    done = here(tmp_path, "-n", "4", "x.py")
    assert (done.returncode, "left processes behind" in done.stderr) == (0, warned), done.stderr


def test_help_of_no_sync_says_what_it_does(tmp_path: Path) -> None:
    assert "--no-sync Do not bring script and environment to the hosts first" in " ".join(here(tmp_path, "--help").stdout.split())


# -- hosts of the lab


@dataclass(frozen=True)
class Surroundings:
    """A host as somebody has it.

    Attributes:
        id: of the row.
        files: texts of files on it, by path; those that begin with #! are programs.
        python: its ansible_python_interpreter, "" for none.
        problem: why it is refused, "" when it is not.
    """

    id: str
    files: dict[str, str]
    python: str = ""
    problem: str = ""


OLD, PYTHON2 = "#!/bin/sh\necho Python 3.8.18\n", "#!/bin/sh\necho Python 2.7.18 >&2\n"
TOO_OLD = "Python {} at /opt/old/python is too old, 3.9 is needed; set ansible_python_interpreter"
ROWS = (
    Surroundings("other-cpu", {"/usr/local/bin/python3": "#!not elf"}),
    Surroundings("broken", {"/usr/local/bin/python3": "#!/bin/sh\nexit 1\n"}),
    Surroundings("broken-and-named", {"/opt/old/python": "#!/nowhere/interpreter\n"}, python="/opt/old/python"),
    Surroundings("old-but-not-named", {"/usr/local/bin/python3": OLD}),
    Surroundings("old", {"/opt/old/python": OLD}, "/opt/old/python", TOO_OLD.format("3.8.18")),
    Surroundings("python-2", {"/opt/old/python": PYTHON2}, "/opt/old/python", TOO_OLD.format("2.7.18")),
    Surroundings("missing", {}, python="/nowhere/python3"),
    Surroundings("greeting", {"/root/.bashrc": "echo hi\necho ho >&2\n"}),
    Surroundings("errexit", {"/root/.bashrc": "set -eu\n"}),
    Surroundings("tmpdir-gone", {"/root/.bashrc": "export TMPDIR=/scratch/nope\n"}),
    Surroundings("tmpdir-a-file", {"/root/.bashrc": "export TMPDIR=/etc/passwd\n"}),
    Surroundings("tmpdir-blank", {"/root/.bashrc": "export TMPDIR='/tmp/a b'\n"}),
    Surroundings("slurm", {"/root/.bashrc": "export SLURM_JOB_ID=1 SLURM_NODELIST=a OMPI_MCA_plm=slurm\n"}),
    Surroundings("exit-in-rc", {"/root/.bashrc": "echo not for you; exit 1\n"}, problem="not for you"),
)


@pytest.fixture
def host_with(cluster: Cluster) -> Iterator[Callable[[Surroundings], None]]:
    """Give a function that changes node1; it is as before afterwards."""
    host, before = cluster.hosts[0], dict[Path, str | None]()

    def change(row: Surroundings) -> None:
        for name, text in row.files.items():
            path = host.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            before[path] = path.read_text() if path.exists() else None
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)

    yield change
    for path, text in before.items():
        if text is None:
            path.unlink()
        else:
            path.write_text(text)


@pytest.mark.sweep
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_host_works_or_says_why_not(cluster: Cluster, host_with: Callable[[Surroundings], None], row: Surroundings) -> None:
    host_with(row)
    inventory = cluster.inventory({"node1": {"ansible_python_interpreter": row.python} if row.python else {}, "node2": {}})
    done = cluster.mlxlaunch("-i", inventory, "--no-sync", "--", "echo", "ran")
    if row.problem:
        assert (done.returncode, done.stdout) == (3, "")
        assert row.problem in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "ran\nran\n"), done.stderr


def test_host_that_is_down_hides_no_problem_and_makes_none(cluster: Cluster) -> None:
    (cluster.here / "x.py").write_text("print('ran')")
    cluster.hosts[1].power_off()
    inventory = cluster.inventory({"node1": {}, "node2": {}, "node3": {"mlx_python": "/nowhere/python"}})
    # The network, or ssh, gives up the host that is down. The others have time until they are ready.
    done = cluster.mlxlaunch("-i", inventory, "--connect-timeout", "120", "x.py", timeout=PATIENCE)
    assert done.returncode == 3
    assert "2 of 3 hosts not ready: node2, node3" in done.stderr
    assert "python /nowhere/python is not there" in done.stderr
    assert "x.py" not in done.stderr

"""Another user of the controller, while a job runs: nothing of the job can be read, written or connected to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH, PATIENCE, read_until
from tests.support.neighbour import named_sockets, sockets, works_for_a_neighbour
from tests.support.processes import descendants

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as another user")

RANK = "import sys\nprint('up', flush=True)\nsys.stdin.read()\n"


@pytest.fixture(name="place")
def make_place() -> Iterator[Path]:
    """Give a directory that everybody may use, as /tmp is; pytest's own are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="mln-", dir="/tmp"))
    place.chmod(0o1777)
    for name in ("home", "tmp"):
        (place / name).mkdir()
        (place / name).chmod(0o1777)
    yield place
    shutil.rmtree(place)


def environment(place: Path) -> dict[str, str]:
    """Return an environment in which all that a job writes here is below the directory."""
    home = place / "home"
    own = {"HOME": home, "TMPDIR": place / "tmp", "XDG_STATE_HOME": home / "state", "XDG_CACHE_HOME": home / "cache"}
    return os.environ | {name: str(path) for name, path in own.items()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_running_job_is_closed_to_other_users(place: Path, umask: int) -> None:
    (place / "train.py").write_text(RANK)
    own = set(place.rglob("*"))
    before = os.umask(umask)
    try:
        job = subprocess.Popen(
            [*MLXLAUNCH, "run", "-n", "1", "--stdin", "0", "--python", sys.executable, place / "train.py"],
            cwd=place,
            env=environment(place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        os.umask(before)
    with job:
        assert job.stdout, "a pipe"
        try:
            read_until(job.stdout.fileno(), b"up\n")
            family = [job.pid, *descendants(job.pid)]
            paths = sorted(set(place.rglob("*")) - own)
            at = [name for name in named_sockets(family) if name.startswith(("@", "/"))]
            worked = works_for_a_neighbour(paths)
            listening = {str(path) for path in sockets(paths)}
        finally:
            _output, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == 0, errors
    assert paths, "a job has files"
    assert any(path.name == "events.jsonl" for path in paths)
    assert listening, "a job has sockets"
    assert [name for name in at if name.startswith("@")] == []
    assert worked == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_record_of_a_job_is_closed_to_other_users(place: Path, umask: int) -> None:
    (place / "train.py").write_text("print('secret')\n")
    own = set(place.rglob("*"))
    words = ["-n", "1", "--python", sys.executable, place / "train.py"]
    before = os.umask(umask)
    try:
        done = subprocess.run(
            [*MLXLAUNCH, "run", *words], cwd=place, env=environment(place), stdin=subprocess.DEVNULL, check=False, timeout=PATIENCE
        )
    finally:
        os.umask(before)
    assert done.returncode == 0
    paths = sorted(set(place.rglob("*")) - own)
    assert {"stdout.log", "events.jsonl"} <= {path.name for path in paths}
    assert works_for_a_neighbour(paths) == []

"""The wheel, installed by the commands of the README: all that a laptop needs, with nothing of the checkout."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mlxlaunch_ansible
from tests.integration.cluster import PATIENCE, Done
from tests.lab.start import CHECKOUT

NAME, VERSION = "mlxlaunch-ansible", mlxlaunch_ansible.__version__
#: How a person installs the package, in the README's own words.
LINES = re.findall(r"^\$ ((?:uv tool|pipx) install .*)$", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
SCRIPT = "import os\nprint('rank', os.environ['MLX_RANK'])\n"


def run(here: Path, *argv: str, **env: str) -> Done:
    """Run a program in an empty place, with a home directory of its own and the system's programs."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_ENV"))}
    own |= {"HOME": str(here), "PATH": f"{here / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin"}
    return subprocess.run(
        argv, cwd=here, env=own | env, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False, timeout=PATIENCE
    )


def uv(here: Path, *words: str, **env: str) -> Done:
    """Run uv with the index of pip's settings, and with the user's cache."""
    cache = os.environ.get("UV_CACHE_DIR", str(Path("~/.cache/uv").expanduser()))
    return run(here, str(CHECKOUT / "scripts" / "uv"), *words, VENV=sys.prefix, UV_CACHE_DIR=cache, **env)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel; return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    done = uv(folder, "build", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(CHECKOUT))
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def install(here: Path, line: str, wheel: Path) -> Done:
    """Install as a line of the README does it, but from the wheel, and into this place."""
    program, *words = [str(wheel) if word == NAME else word for word in shlex.split(line)]
    words = [*words, "--python", sys.executable]
    if program == "uv":
        return uv(here, *words, UV_TOOL_DIR=str(here / "tools"), UV_TOOL_BIN_DIR=str(here / "bin"))
    return run(here, sys.executable, "-m", "pipx", *words, PIPX_HOME=str(here / "tools"), PIPX_BIN_DIR=str(here / "bin"))


def test_readme_has_a_line_for_each_installer() -> None:
    assert [line.split()[0] for line in LINES] == ["uv", "pipx", "uv"]
    assert [line for line in LINES if NAME not in line.split()] == []


@pytest.mark.parametrize("line", LINES)
def test_package_is_installed_by_a_line_of_the_readme(line: str, wheel: Path, tmp_path: Path) -> None:
    done = install(tmp_path, line, wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    shown = run(tmp_path, "mlxlaunch", "--version").stdout.splitlines()
    assert [each.partition(" in ")[0] for each in shown[:2]] == [f"mlxlaunch {VERSION}", f"mlxlaunch.cluster {VERSION}"]
    assert [each for each in shown if f"{tmp_path}/tools/" not in each] == []
    job = run(tmp_path, "mlxlaunch", "run", "-n", "2", "--starting-port", "auto", "train.py")  # beside those of other tests
    assert (job.returncode, sorted(job.stdout.split())) == (0, ["0", "1", "rank", "rank"]), job.stderr
    assert (tmp_path / "bin" / "ansible-playbook").exists() == ("--with-executables-from" in line)
    if (tmp_path / "bin" / "ansible-playbook").exists():
        assert_playbook_launches_by_name(tmp_path)


def assert_playbook_launches_by_name(here: Path) -> None:
    """Ansible finds the collection where the package has put it: at the top level of its site-packages."""
    host = {"ansible_connection": "local", "mlx_slots": 2, "mlx_starting_port": "auto"}
    (here / "hosts.yml").write_text(json.dumps({"mlx": {"hosts": {"localhost": host}}}), encoding="utf-8")
    done = run(here, "ansible-playbook", "-i", "hosts.yml", "mlxlaunch.cluster.launch", "-e", "mlx_script=train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"rank 0", "rank 1"} <= set(done.stdout.splitlines())

"""What lies around the launching program changes nothing: other versions of our collection, and Ansible's own variables.

They run on this machine and need no lab.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.integration.cluster import PATIENCE
from tests.lab.start import CHECKOUT

COLLECTION = CHECKOUT / "collection"
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
#: Variables of a rank that its job sets.
OF_A_JOB = (
    *("MLX_", "MLXLAUNCH_JOB", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "PYTHONUNBUFFERED", "PYTHONPATH", "TERM", "COLUMNS", "LINES"),
)
OF_A_SHELL = ("PWD", "OLDPWD", "SHLVL", "_")  # /bin/sh, by which a local supervisor is started


def run(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlxlaunch_ansible", *words]
    return subprocess.run(
        command, env={**os.environ, **env}, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def local(folder: Path, *program: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run("run", "-n", "1", "--backend", "ring", "--log-dir", str(folder / "log"), "--", *program, cwd=folder, **env)


def stale(folder: Path) -> Path:
    """Put an older version of the collection into a directory of the user's; return that."""
    place = folder / "ansible_collections/mlxlaunch/cluster"
    shutil.copytree(COLLECTION, place, ignore=shutil.ignore_patterns("__pycache__"))
    version = place / "plugins/plugin_utils/job/version.py"
    version.write_text(version.read_text().replace('"1.0.0"', '"0.0.1-old"'))
    return folder


def in_home(folder: Path) -> Mapping[str, str]:
    stale(folder / "home/.ansible/collections")
    return {"HOME": str(folder / "home"), "ANSIBLE_HOME": str(folder / "home/.ansible")}


def in_the_environment(folder: Path) -> Mapping[str, str]:
    return {"ANSIBLE_COLLECTIONS_PATH": str(stale(folder / "mine"))}


def in_the_configuration(folder: Path) -> Mapping[str, str]:
    (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {stale(folder / 'mine')}\n")
    return {}


@pytest.mark.parametrize("place", [in_home, in_the_environment, in_the_configuration])
def test_command_uses_its_own_collection(place: Callable[[Path], Mapping[str, str]], tmp_path: Path) -> None:
    done = local(tmp_path, "true", **place(tmp_path))
    assert done.returncode == 0, done.stderr
    [record] = (tmp_path / "log").glob("*/job.json")
    assert json.loads(record.read_text())["versions"]["mlxlaunch"] == "1.0.0"


#: An inventory plugin of the user's own collection.
PLUGIN = """
DOCUMENTATION = "{name: ada.tools.one, short_description: one host, plugin_type: inventory}"
from ansible.plugins.inventory import BaseInventoryPlugin
class InventoryModule(BaseInventoryPlugin):
    NAME = "ada.tools.one"
    def verify_file(self, path):
        return True
    def parse(self, inventory, loader, path, cache=True):
        inventory.add_group("mlx")
        inventory.add_host("here", "mlx")
        inventory.set_variable("here", "ansible_connection", "local")
"""


def test_collections_of_the_user_come_after_it(tmp_path: Path) -> None:
    plugins = stale(tmp_path / "mine") / "ansible_collections/ada/tools/plugins/inventory"
    plugins.mkdir(parents=True)
    (plugins / "one.py").write_text(PLUGIN)
    (tmp_path / "hosts.one").touch()
    env = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "mine"), "ANSIBLE_INVENTORY_ENABLED": "ada.tools.one"}
    words = ("run", "-i", "hosts.one", "--backend", "ring", "--log-dir", str(tmp_path / "log"), "--", "echo", "here")
    done = run(*words, cwd=tmp_path, **env)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_local_rank_has_the_launcher_s_variables(tmp_path: Path) -> None:
    mine = {"ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_HOST_KEY_CHECKING": "False", "RUNNER_MINE": "é", "MINE": "1\n2"}
    done = local(tmp_path, sys.executable, "-c", SHOW, **mine)
    assert done.returncode == 0, done.stderr
    found = {name: value for name, value in json.loads(done.stdout).items() if not name.startswith(OF_A_JOB)}
    wanted = {name: value for name, value in {**os.environ, **mine}.items() if not name.startswith(OF_A_JOB)}
    for name in OF_A_SHELL:
        found.pop(name, None)
        wanted.pop(name, None)
    assert found == wanted


@pytest.mark.parametrize("way", ["launch", "ansible"])
def test_ansible_works_inside_a_local_rank(way: str, tmp_path: Path) -> None:
    inner = {
        "launch": ["mlxlaunch_ansible", "run", "-n", "1", "--log-dir", str(tmp_path / "inner"), "--", "echo", "inside"],
        "ansible": ["ansible", "adhoc", "localhost", "-m", "ansible.builtin.command", "-a", "echo inside"],
    }[way]
    done = local(tmp_path, sys.executable, "-m", *inner)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "inside" in done.stdout

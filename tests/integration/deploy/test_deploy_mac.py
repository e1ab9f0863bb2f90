"""Deploys to hosts that look like Macs: openrsync, Apple's Python 3.9, zsh, the short PATH; and from a controller with openrsync.

What that says about real Macs, and what not, is in tests/lab/mac/README.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import LITTLE
from tests.integration.cluster import Cluster
from tests.integration.deploying import PATIENCE, TELL, Site, brought, tree, where
from tests.lab.mac.personality import rsync_client
from tests.unit.environments import lock_line, make_wheel

pytestmark = pytest.mark.mac

APPLE_PYTHON = "/usr/bin/python3"


def test_a_project_runs_on_macs_that_have_never_seen_it(site: Site) -> None:
    site.file("llm/train.py")
    for name in ("zwölf.txt", "two\nlines", "-rf", "a b/c"):
        site.file(f"llm/{name}", name)
    (site.here / "llm/link").symlink_to("a b/c")
    site.file("llm/weights", os.urandom(LITTLE))
    inventory = site.inventory(4, ansible_python_interpreter=APPLE_PYTHON)
    words = ["-i", inventory, "--project-dir", site.here / "llm", "--lease", "7.5", site.here / "llm/train.py"]
    done = site.cluster.mlxlaunch(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("/projects/llm/") == 2 * 4
    assert brought(done) == 4
    project = Path(done.stdout.split()[1])
    for host in site.hosts:
        assert tree(host.path(project)) == tree(site.here / "llm")
    site.file("llm/new.txt")
    assert brought(site.sync(*words)) == 4
    assert brought(site.sync(*words)) == 0


def test_a_controller_with_openrsync_brings_it_to_macs(site: Site) -> None:
    (site.here / "bin").mkdir()
    rsync_client(site.here / "bin")
    env = {"PATH": f"{site.here / 'bin'}:{site.cluster.env['PATH']}"}
    script = site.file("llm/train.py", TELL + "#" * LITTLE)
    done = site.sync("--project-dir", script.parent, script, env=env)
    assert tree(site.hosts[1].path(where(done)["project"])) == {b"train.py": ("-rw-r--r--", script.read_bytes())}


def test_an_environment_is_made_with_homebrew_s_python(site: Site, cluster: Cluster) -> None:
    host = site.hosts[0]
    found = sorted(path.name for path in host.path("/opt/homebrew/bin").glob("python3.1*"))
    if not found:
        pytest.skip("this machine has no Python for Homebrew")
    wheel = make_wheel(site.here / "wheels", "pkg")
    lock = site.file("requirements.lock", lock_line(wheel))
    inventory = cluster.inventory({"node1": {"ansible_python_interpreter": APPLE_PYTHON}}, mlx_python=found[0].removeprefix("python"))
    script = site.file("train.py", "import sys, pkg\nprint(sys.prefix, pkg.VERSION, sys.version_info[:2], flush=True)\n")
    done = cluster.mlxlaunch("-i", inventory, "--environment", lock, "--wheelhouse", wheel.parent, script, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "/envs/" in done.stdout
    minor = int(found[0].rpartition(".")[2])
    assert done.stdout.endswith(f" 1.0 (3, {minor})\n")

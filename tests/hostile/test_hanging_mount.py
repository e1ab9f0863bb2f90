"""A directory of a host that hangs, as one on a dead file server: that host is named in bounded time, and no rank starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.deploy import Deploy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent, host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.integration.cluster import MLXLAUNCH
from tests.integration.deploying import rows
from tests.support.hanging import hanging
from tests.unit.controller.fleets import Events

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")

#: Seconds in which all must be over, however busy this machine is; limits of the product come after 10 s.
BOUND = 180.0
#: Seconds of silence: less than these 10, and long enough for a busy machine.
LEASE = 8


@pytest.mark.parametrize("below", ["", "/deep/root"])
def test_root_that_hangs_is_named_with_its_host(tmp_path: Path, below: str) -> None:
    project, dead = tmp_path / "demo", tmp_path / "dead"
    for folder in (project, dead):
        folder.mkdir()
    (project / "train.py").write_text("pass\n")
    settings = JobSettings(script=f"{project}/train.py", project_dir=str(project), lease=LEASE, root=f"{dead}{below}")
    access = {"slow": Access(lambda shell: ["/bin/sh", "-c", shell], host_command([sys.executable], agent()))}
    deploy = Deploy(settings, wanted_project(settings), access, check=False, differences=False)
    begun = time.monotonic()
    with hanging(str(dead)):
        outcome = deploy.run(Events())
    [(host, [reason])] = outcome.problems.items()
    assert host == "slow"
    assert f"does {dead}" in reason
    assert time.monotonic() - begun < BOUND


@pytest.mark.parametrize("what", ["cwd", "python"])
def test_job_in_a_directory_that_hangs_starts_nowhere(tmp_path: Path, what: str) -> None:
    dead, script = tmp_path / "dead", tmp_path / "train.py"
    dead.mkdir()
    script.write_text("print('started')")
    hosts: dict[str, dict[str, object]] = {
        name: {"ansible_connection": "local", "mlx_ips": [f"127.0.0.{at}"]} for at, name in enumerate(("slow", "well"), 1)
    }
    if what == "python":
        hosts["slow"]["mlx_python"] = f"{dead}/python"
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"mlx": {"hosts": hosts, "vars": {"mlx_python": sys.executable}}}))
    words = ["--cwd", f"{dead}/cwd"] if what == "cwd" else []
    begun = time.monotonic()
    with hanging(str(dead)):
        done = subprocess.run(
            [*MLXLAUNCH, "run", "-i", inventory, "--lease", str(LEASE), "--connect-timeout", "10", *words, script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND,
        )
    assert done.returncode == 3, done.stderr
    assert "started" not in done.stdout
    assert any("slow" in names for names in rows(done))
    assert time.monotonic() - begun < BOUND

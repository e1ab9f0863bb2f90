"""The file descriptors that a job needs here."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.descriptors import reserve
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connections import HostConnections
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import RunDir
from tests.support.waiting import wait_until
from tests.unit.readers import event, output

MARKER = r"\n\0mlxlaunch 1\0\n"


@pytest.fixture
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("limits")
def test_limit_of_a_mac_is_raised_for_64_hosts() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    reserve(64)
    raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raised[0] >= 64 * 3 + 64 + 100
    assert raised[1] == hard
    reserve(4)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == raised


@pytest.mark.usefixtures("limits")
def test_64_hosts_and_512_ranks_fit_under_the_limit_of_a_mac(tmp_path: Path) -> None:
    """Channels and logs at once; what was open before does not count."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    reserve(64)
    hosts = [f"node{number}" for number in range(64)]
    say = f"printf '%b' {shlex.quote(MARKER)}; exec cat >/dev/null"
    run_dir = RunDir(tmp_path / "j1")
    with HostConnections({host: lambda _fresh: ["/bin/sh", "-c", say] for host in hosts}) as connections:
        for host in hosts:
            connections.open(host, fresh=False, request=b"")
        for rank in range(512):
            run_dir.event(event("rank_started", rank=rank))
            run_dir.output(output(rank), b"%d" % rank)
        arrived: set[str] = set()

        def all_here() -> bool:
            arrived.update(each.host for each in connections.wait(0.0) if each.lost is None)
            return len(arrived) == 64

        wait_until(all_here, "every host has answered")
        assert run_dir.settle(30)
    run_dir.close()
    assert [run_dir.log(rank, "stdout").read_bytes() for rank in range(512)] == [b"%d" % rank for rank in range(512)]


@pytest.mark.usefixtures("limits")
def test_limit_that_is_high_enough_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[0]


def test_too_low_a_hard_limit_is_refused_in_one_line() -> None:
    """In a process of its own: a hard limit cannot be raised again."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300));"
        f"from {reserve.__module__} import reserve\n"
        "try: reserve(64)\nexcept Exception as exc: print(type(exc).__name__, exc.returncode, exc)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{UsageError.__name__} 2 64 hosts need ")
    assert "and the limit is 300; raise it" in done.stdout
    assert done.stdout.count("\n") == 1

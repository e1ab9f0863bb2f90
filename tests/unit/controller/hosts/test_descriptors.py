"""The file descriptors that work on many hosts needs here."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.meet import Contact
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.visit import Wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import Agent
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connections import HostConnections
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.descriptors import OF_A_RECORD, reserve
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import RunDir
from tests.support.waiting import wait_until
from tests.unit.controller.fleets import Events
from tests.unit.controller.meetings import FakeSsh, target
from tests.unit.readers import event, output

MARKER = r"\n\0mlxlaunch 1\0\n"


@pytest.fixture
def limits() -> Iterator[None]:
    """Let this process have the limit of a shell on a Mac."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("limits")
def test_limit_of_a_mac_is_raised_for_64_hosts() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve(64)
    raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raised[0] >= 64 * 3 + 64 + 100
    assert raised[1] == hard
    reserve(4)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == raised


@pytest.mark.usefixtures("limits")
def test_64_hosts_and_512_ranks_fit_under_the_limit_of_a_mac(tmp_path: Path) -> None:
    """Channels and logs at once; what was open before does not count."""
    reserve(64, OF_A_RECORD)
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
def test_96_hosts_with_a_program_each_fit_under_the_limit_of_a_mac() -> None:
    """Agents as a deploy, a check and all others have them, and a program for each at the same time."""
    access = Access(lambda command: ["/bin/sh", "-c", command], "cat >/dev/null; exit")
    together = threading.Barrier(96)

    def work(agent: Agent) -> int:
        return agent.run(["cat"], feed=lambda _fd: together.wait(60) and None)[0]

    with Fleet({f"node{number}": access for number in range(96)}, JobSettings()).open(Events()) as fleet:
        answers = fleet.ask("bringing files to", work)
    assert (answers.failed, set(answers.results.values())) == ({}, {0})


@pytest.mark.usefixtures("limits")
def test_first_contact_with_64_hosts_raises_the_limit_of_a_mac(tmp_path: Path) -> None:
    ssh = FakeSsh(tmp_path)
    ssh.known = True
    Contact([target(name=f"node{number}") for number in range(64)], ssh, Wishes()).run(Events())
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64 * 6


@pytest.mark.usefixtures("limits")
def test_limit_that_is_high_enough_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


FLEET = f"""
from {Fleet.__module__} import Fleet, JobSettings
from {Access.__module__} import Access
fleet = Fleet(dict.fromkeys(range(64), Access(lambda command: [], "")), JobSettings(), lambda *_: print("started"))
def start():
    with fleet.open(print):
        pass
"""
CONTACT = f"""
from {Contact.__module__} import Contact
from {Wishes.__module__} import Wishes
start = lambda: Contact([print] * 64, print, Wishes()).run(print)
"""


@pytest.mark.parametrize("start", [f"from {reserve.__module__} import reserve; start = lambda: reserve(64)", FLEET, CONTACT])
def test_too_low_a_hard_limit_is_refused_in_one_line(start: str) -> None:
    """Before anything is started, in a process of its own: a hard limit cannot be raised again."""
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300))\n{start}\n"
        "try: start()\nexcept Exception as exc: print(type(exc).__name__, exc.returncode, exc)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{UsageError.__name__} 2 64 hosts need ")
    assert "and the limit is 300; raise it" in done.stdout
    assert done.stdout.count("\n") == 1

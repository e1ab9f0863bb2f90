"""Every fault that a deploy promises to survive, injected while files are on their way.

After each of them: a message that names host and path, the promised exit status, nothing left running, nothing half made
in the way of the next try, and the version that was there before still there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.signatures import memory_file
from tests.integration.cluster import LEASE, MLXLAUNCH, PATIENCE, read_until
from tests.integration.deploying import ROOT, Site, rows, staging, tree, where
from tests.lab import Host
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep


class Before:
    """A version that is on the hosts, and a change that is to be brought to them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.script = site.file("llm/train.py")
        site.file("llm/data.bin", os.urandom(300_000))
        self.words = ("--project-dir", self.script.parent, "--lease", LEASE, self.script)
        self.old = where(site.sync(*self.words))["project"]
        self.files = tree(site.hosts[0].path(self.old))
        self.change = site.file("llm/more.bin", os.urandom(3_000_000))

    def assert_untouched(self) -> None:
        """The old version is as it was, nothing else is there, and nothing works at it."""
        for host in self.site.hosts[:2]:
            wait_until(lambda host=host: not host.leftovers(), f"{host.name} is quiet: {host.leftovers()}")
            assert tree(host.path(self.old)) == self.files

    def assert_next_try_works(self) -> None:
        done = self.site.sync(*self.words)
        new = where(done)["project"]
        for host in self.site.hosts[:2]:
            assert tree(host.path(new)) == tree(self.script.parent)
            assert staging(host) == []


@pytest.fixture
def before(site: Site) -> Before:
    return Before(site)


# -- the host's side


def test_a_full_disk_is_named_and_leaves_what_was_there(site: Site, before: Before) -> None:
    host = site.hosts[1]
    host.fill_disk(leave=1_000_000)
    done = site.sync(*before.words)
    assert done.returncode == 3
    assert rows(done) == {"node2": f"no space left on the disk under {ROOT}/projects/llm/.part-{Path(new_path(done)).name}"}
    before.assert_untouched()
    assert staging(host) == []
    assert "node1: brought the project" in done.stderr
    host.free_disk()
    before.assert_next_try_works()


def new_path(done: subprocess.CompletedProcess[str]) -> str:
    """Return the path that one of the hosts got."""
    return next(line for line in done.stderr.splitlines() if ": brought the project to " in line).rpartition(" ")[2]


def power_off(host: Host) -> None:
    host.power_off()


def cut(host: Host) -> None:
    host.cut()


def kill_ssh(host: Host) -> None:
    host.kill_ssh()


def kill_agent(host: Host) -> None:
    (agent,) = [process for process in host.leftovers() if process.name.startswith("python")]
    host.kill(agent.pid)


SILENT = f"silent for {LEASE} s: network, host or sleep"


@pytest.mark.parametrize(
    ("fault", "message"), [(power_off, SILENT), (cut, SILENT), (kill_ssh, "onnection"), (kill_agent, "the connection ended")]
)
def test_a_host_that_goes_in_the_middle_is_named(site: Site, before: Before, fault: Callable[[Host], None], message: str) -> None:
    host = site.hosts[1]
    with (
        site.stopped_rsync() as (env, arrived, go),
        site.cluster.started([*MLXLAUNCH, "sync", "-i", site.inventory(2), *before.words], env=env) as process,
    ):
        arrived.wait(2)
        fault(host)
        go.open(2)
        _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err.decode()
    (row,) = rows(subprocess.CompletedProcess([], 3, "", err.decode())).items()
    assert row[0] == "node2"
    assert message in row[1]
    if fault is power_off:
        host.power_on()
    host.heal()
    before.assert_untouched()
    before.assert_next_try_works()


def test_a_tar_stream_into_a_silent_network_ends_too(site: Site, before: Before) -> None:
    host = site.hosts[1]
    place = host.path("/usr/bin/rsync")
    place.rename(place.with_name("rsync.away"))
    tar = host.path("/usr/local/bin/tar")
    try:
        with site.cluster.gate(host, "arrived") as arrived:
            tar.write_text(f'#!/bin/sh\necho >> "{arrived.path}"\nexec sleep 1000\n')
            tar.chmod(0o755)
            argv = [*MLXLAUNCH, "sync", "-i", site.inventory(2), *before.words]
            with site.cluster.started(argv) as process:
                arrived.wait()
                host.cut()
                _out, err = process.communicate(timeout=PATIENCE)
    finally:
        place.with_name("rsync.away").rename(place)
        tar.unlink()
    assert process.returncode == 3, err.decode()
    assert SILENT in err.decode()
    host.heal()
    host.kill_all()  # the lease of a session that only carries files is sshd's
    before.assert_untouched()
    before.assert_next_try_works()


# -- who launched it


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=["INT", "TERM", "KILL"]
)
def test_mlxlaunch_interrupted_leaves_nothing(site: Site, before: Before, number: int, status: int) -> None:
    argv = [*MLXLAUNCH, "sync", "-i", site.inventory(2), *before.words]
    with site.stopped_rsync() as (env, arrived, _go), site.cluster.started(argv, env=env) as process:
        arrived.wait(2)
        assert here(site)
        process.send_signal(number)
        _out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, err.decode()
        if number != signal.SIGKILL:
            assert f"interrupted by {signal.Signals(number).name}" in err.decode()
        assert "Traceback" not in err.decode()
        wait_until(lambda: not here(site), f"no program of it is left: {here(site)}")
    before.assert_untouched()
    for host in site.hosts[:2]:
        assert staging(host) == []
    before.assert_next_try_works()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["INT", "TERM", "KILL"])
def test_ansible_playbook_interrupted_leaves_nothing(site: Site, before: Before, number: int) -> None:
    argv = site.playbook_argv("sync.yml", script=before.script, project_dir=before.script.parent)
    with (
        site.stopped_rsync() as (env, arrived, _go),
        site.cluster.started(argv, env=env, cwd=CHECKOUT, start_new_session=True) as process,
    ):
        arrived.wait(2)
        assert here(site)
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        assert process.returncode != 0
        wait_until(lambda: not here(site), f"no program of it is left: {here(site)}")
    before.assert_untouched()
    before.assert_next_try_works()


def here(site: Site) -> list[str]:
    """Return the programs on this machine that work in a private directory of a deploy: rsync and its ssh."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(site.private):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


# -- others who are at it


def test_two_deploys_at_the_same_time_both_succeed(site: Site, before: Before) -> None:
    argv = [*MLXLAUNCH, "sync", "-i", site.inventory(2), *before.words]
    with site.stopped_rsync() as (env, arrived, go), site.cluster.started(argv, env=env) as first:
        arrived.wait(2)
        with site.cluster.started(argv) as second:
            read_until(second.stderr.fileno(), b"waiting for another deploy")
            go.open(2)
            told = [process.communicate(timeout=PATIENCE)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert told[0] == told[1]
    before.assert_next_try_works()


def test_a_file_that_grows_while_it_is_sent_stays_here(site: Site, before: Before) -> None:
    script = f'echo more >> "{before.change}"\nexec {shutil.which("rsync")} "$@"\n'
    done = site.sync(*before.words, env=site.program("rsync", script))
    assert done.returncode == 0
    assert "written to at this moment, so it stays here: more.bin" in done.stderr
    before.assert_untouched()
    for host in site.hosts[:2]:
        assert site.versions(host, "llm") == [Path(before.old).name]
    before.assert_next_try_works()


def test_hashes_remembered_wrongly_do_not_matter(site: Site, before: Before) -> None:
    cache = memory_file(str(before.script.parent), "hashes")
    assert cache.is_relative_to(site.cluster.env["XDG_CACHE_HOME"])
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(b'{"train.py": [1, "\xff')
    before.assert_next_try_works()

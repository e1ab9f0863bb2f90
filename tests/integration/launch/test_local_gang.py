"""A whole gang without ssh or root: the supervisors of two hosts are processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.gang import Gang
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import Policy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.cancellation import StopSources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_command, supervisor
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connections import HostConnections
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.ids import new_job_id
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch import steps
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.planning import plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.request import LaunchRequest

HOSTS = {"a": "127.0.0.1", "b": "127.0.0.2"}
RANK = "import os, signal, sys, time; rank = int(os.environ['MLX_RANK']); "
UP = "print('up', flush=True); "
WAIT = UP + "time.sleep(1000)"


class Recorder:
    """Sinks that keep everything; `on_all_up` is called once both ranks have printed "up"."""

    backlog = 0
    broken = False

    def __init__(self, on_all_up: Callable[[], None]) -> None:
        self.events: list[tuple[str, str | None, Mapping[str, Any]]] = []
        self.streams: dict[tuple[int, str], bytes] = {}
        self._on_all_up: Callable[[], None] | None = on_all_up

    def emit(self, kind: str, /, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        self.events.append((kind, host, {"rank": rank, **details}))

    def output(self, host: str, rank: int, stream: str, offset: int, payload: bytes) -> None:
        assert HOSTS[host] == list(HOSTS.values())[rank]
        before = self.streams.get((rank, stream), b"")
        assert offset == len(before), "a gap, or something twice"
        self.streams[rank, stream] = before + payload
        if self._on_all_up and all(self.streams.get((number, "stdout"), b"").startswith(b"up\n") for number in range(len(HOSTS))):
            self._on_all_up, on_all_up = None, self._on_all_up
            on_all_up()

    def deadline(self) -> None:
        return None

    def tick(self, now: float) -> None:
        pass

    def forward(self, frame: bytes) -> None:
        pass

    def safe(self) -> list[tuple[int, str, int]]:
        return [(rank, stream, len(data)) for (rank, stream), data in self.streams.items()]

    def warnings(self) -> list[str]:
        return []

    def kinds(self) -> list[str]:
        return [kind for kind, _host, _details in self.events]


class Local:
    """Two hosts on this machine, and one job on them."""

    def __init__(self) -> None:
        argv = ["/bin/sh", "-c", host_command([sys.executable], supervisor())]
        self.connections: HostConnections | None = None
        self.connect = dict.fromkeys(HOSTS, lambda _fresh: argv)
        self.recorder = Recorder(lambda: None)

    def run(self, program: str, on_all_up: Callable[[], None] = lambda: None, **settings: Any) -> Policy:
        """Run a program on a rank per host to its end."""
        command = [sys.executable, "-c", RANK + program]
        checked = check_settings({"backend": "ring", "command": command, "lease": 60, "grace": 30, **settings})
        request = LaunchRequest(
            new_job_id(),
            checked,
            [HostSettings(name, address) for name, address in HOSTS.items()],
            [RankPlace(name, (address,)) for name, address in HOSTS.items()],
            default_python=sys.executable,
            default_cwd="/",
        )
        planned, nothing = plan(request), steps.DeployResult()
        # Nobody listens, so hosts need not have these addresses.
        specs = {host: {**spec, "addresses": [], "listen": []} for host, spec in steps.specs_to_send(request, planned, nothing).items()}
        policy = steps.make_policy(checked, planned, nothing, lambda _planned: None)
        self.recorder = Recorder(on_all_up)
        with StopSources() as stops, HostConnections(self.connect, [stops.fileno()]) as self.connections:
            Gang(policy, specs, self.connections, stops, self.recorder, self.recorder).run()
        return policy

    def out(self, rank: int, stream: str = "stdout") -> bytes:
        """Return the output of a rank."""
        return self.recorder.streams.get((rank, stream), b"")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """Give two hosts; fail a test whose job leaves files there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield Local()
    assert list(folder.iterdir()) == []


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_output_of_both_hosts_arrives_whole(local: Local) -> None:
    policy = local.run("print('rank', rank, flush=True); print('x' * 9999999); print('to stderr', rank, file=sys.stderr)")
    assert policy.returncode == 0
    assert [local.out(rank) for rank in (0, 1)] == [b"rank %d\n" % rank + b"x" * 9999999 + b"\n" for rank in (0, 1)]
    assert [local.out(rank, "stderr") for rank in (0, 1)] == [b"to stderr %d\n" % rank for rank in (0, 1)]
    assert sorted(local.recorder.kinds()) == ["host_ready"] * 2 + ["rank_exited"] * 2 + ["rank_started"] * 2


def test_failing_rank_ends_the_other_host(local: Local) -> None:
    policy = local.run(f"{UP}sys.exit(7) if rank == 1 else time.sleep(1000)")
    assert policy.cause
    assert (policy.cause.kind, policy.returncode) == ("rank_failed", 7)
    assert policy.first_failure
    assert (policy.first_failure.rank, policy.first_failure.host) == (1, "b")
    assert policy.ends[0].stopped


def test_interrupt_gives_ranks_their_grace(local: Local) -> None:
    last_words = "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), os._exit(0))); "
    policy = local.run(last_words + WAIT, interrupt)
    assert policy.returncode == 130
    assert [local.out(rank) for rank in (0, 1)] == [b"up\nbye\n"] * 2
    assert [policy.ends[rank].stopped for rank in (0, 1)] == [True, True]


def test_second_interrupt_kills_at_once(local: Local) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    policy = local.run(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}", twice, grace=1000)
    assert policy.returncode == 130
    assert [policy.ends[rank].signal_name for rank in (0, 1)] == ["SIGKILL", "SIGKILL"]


def test_killed_supervisor_loses_its_host(local: Local) -> None:
    def kill() -> None:
        [supervisor] = [details["pid"] for kind, host, details in local.recorder.events if (kind, host) == ("host_ready", "b")]
        os.kill(supervisor, signal.SIGKILL)

    policy = local.run(WAIT, kill, grace=1)
    assert policy.cause
    assert (policy.cause.kind, policy.returncode) == ("host_lost", 3)
    assert policy.ends[0].stopped
    assert "host_lost" in local.recorder.kinds()


def test_host_that_cannot_start_the_ranks_starts_none(local: Local) -> None:
    local.connect["b"] = lambda _fresh: ["/bin/sh", "-c", "echo no way in >&2; exit 9"]
    policy = local.run(WAIT)
    assert policy.problems == {"b": ["no way in"]}
    assert (policy.returncode, policy.ends) == (3, {})

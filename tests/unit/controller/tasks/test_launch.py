"""The work of the launch action: refused or planned, nothing is started; and the order in which all ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connection import start_process
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch import steps
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.fanout import Fanout
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.record import rank_rows
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks import launch as launch_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.launch import Launch
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events


class FakeHosts:
    """Two hosts, one of which may be out of reach.

    Attributes:
        reached: hosts and the interpreters of their ranks, as a way to them was asked for.
    """

    sources = ("hosts.yml",)
    absent = ()
    absence = ""

    def __init__(self, unreachable: str = "") -> None:
        self.reached: list[tuple[str, str]] = []
        self._unreachable = unreachable

    def members(self, _group: str) -> list[HostSettings]:
        return [HostSettings(name, name, ips=(f"10.0.0.{at}",)) for at, name in enumerate("ab", 1)]

    def warnings(self, group: str, given: Any) -> list[str]:
        return [f"{group}: {given['backend']}"]

    def ssh_name(self, host: HostSettings) -> str:
        return f"me@{host.name}"

    def origin(self, hosts: Sequence[HostSettings], paths: Sequence[str]) -> dict[str, Any]:
        return {"paths": paths} if paths else {"paths": [], "hosts": [host.name for host in hosts]}

    def channel(self, name: str, python: str, _trust_owner: str) -> Callable[[bool], Sequence[str]]:
        if name == self._unreachable:
            raise UsageError(f"{name}: connection type 'winrm' cannot carry a live stream")
        self.reached.append((name, python))
        return lambda _fresh: pytest.fail(f"{name} is connected to")


class Recorded(Launch):
    """Keeps its events; fails a test in which anything is started."""

    events: Events

    @contextlib.contextmanager
    def _reporting(self, settings: Any) -> Iterator[Any]:  # noqa: ARG002
        yield self.events

    def _launch(self, *_arguments: Any) -> Any:
        pytest.fail("it is launched")


def launch(hosts: FakeHosts, setup: dict[str, Any] | None = None, *, check_mode: bool = False, **options: Any) -> Recorded:
    """Return the launch of a command on the hosts, planned only unless the program of `setup` says otherwise."""
    context = TaskContext(
        {"backend": "ring", "command": ["true"], **options}, None, None, None, {}, lambda *_words, **_how: None, check_mode
    )
    found = Recorded(context, Request.of(context, {"job": "j1", "default_python": "/p", **(setup or {})}), cast("Hosts", hosts))
    found.events = Events()
    return found


def test_dry_run_returns_and_reports_the_plan() -> None:
    one = launch(FakeHosts(), check_mode=True)
    result = one.run()
    assert (result["returncode"], result["cause"]) == (0, "planned")
    assert [(row["rank"], row["host"]) for row in result["plan"]["ranks"]] == [(0, "a"), (1, "b")]
    assert [row["ssh"] for row in result["plan"]["hostfile"]["hosts"]] == ["me@a", "me@b"]
    assert one.events.of("warning") == [(None, {"text": "mlx: ring"})]
    assert one.events.of("job_planned") == [(None, {"plan": result["plan"]})]


def test_hostfile_decides_the_ranks_and_the_hosts_to_reach() -> None:
    hosts = FakeHosts()
    result = launch(hosts, check_mode=True, hostfile=[{"ssh": "b", "ips": ["10.1.0.2"]}] * 2).run()
    assert [(row["host"], row["ips"]) for row in result["plan"]["ranks"]] == [("b", ["10.1.0.2"])] * 2
    assert [name for name, _python in hosts.reached] == ["b"]


def test_hostfile_with_an_unknown_host_is_refused() -> None:
    hosts = FakeHosts()
    with pytest.raises(UsageError, match="hostfile: c is not in the inventory"):
        launch(hosts, hostfile=[{"ssh": "c", "ips": ["10.0.0.3"]}]).run()
    assert hosts.reached == []


def test_host_out_of_reach_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="b: connection type 'winrm'"):
        launch(FakeHosts(unreachable="b")).run()


def test_run_is_not_repeated_with_ranks_elsewhere() -> None:
    before = rank_rows(build_rank_table([("b", ("10.0.0.2",)), ("a", ("10.0.0.1",))]))
    with pytest.raises(UsageError, match="the hosts are not what they were in that run"):
        launch(FakeHosts(), {"ranks": before}).run()


@pytest.mark.parametrize("stdin", ["all", "none"])
def test_nobody_reads_without_a_launching_program(stdin: str) -> None:
    one = launch(FakeHosts(), {"default_stdin": stdin})
    assert one._asked().default_stdin is None


def test_inventory_of_the_record_is_ansible_s_unless_given() -> None:
    assert launch(FakeHosts())._asked().inventory == {"paths": ("hosts.yml",)}
    assert launch(FakeHosts(), {"inventory": {"paths": ["mine.yml"]}})._asked().inventory == {"paths": ["mine.yml"]}
    assert launch(FakeHosts(), {"inventory": {"paths": []}})._asked().inventory == {"paths": [], "hosts": ["a", "b"]}


class Reached(FakeHosts):
    """Hosts to which a local program leads that has no supervisor at its other end."""

    def channel(self, name: str, python: str, _trust_owner: str) -> Callable[[bool], Sequence[str]]:
        self.reached.append((name, python))
        return lambda _fresh: ["/bin/sh", "-c", "cat >/dev/null"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let launches reach their hosts; the local processes that do."""
    found: list[Any] = []

    def start(argv: Sequence[str], env: Any = None) -> Any:
        found.append(start_process(argv, env))
        return found[-1]

    monkeypatch.setattr(launch_module, "start_process", start)
    monkeypatch.setattr(Recorded, "_launch", Launch._launch)
    return found


def lose(_policy: Any, _specs: Any, connections: Any, *_others: Any) -> None:
    """Open the connections, and fail."""
    for host in ("a", "b"):
        connections.open(host, fresh=False, request=b"")
    raise ValueError


def refuse(*_arguments: Any) -> None:
    raise UsageError("no")


@pytest.mark.parametrize(("step", "fails", "error"), [("run", lose, ValueError), ("finalise", refuse, UsageError)])
def test_hosts_are_left_before_the_sinks_are_closed_and_signals_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[Any], step: str, fails: Callable[..., None], error: type[Exception]
) -> None:
    """A sink may wait for its reader for long: no rank runs meanwhile, and a signal ends it."""
    seen: list[Any] = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    close = Fanout.close

    def look(fanout: Fanout) -> None:
        seen.append([process.poll() is not None for process in started])
        seen.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
        close(fanout)

    monkeypatch.setattr(steps, step, fails)
    monkeypatch.setattr(Fanout, "close", look)
    with pytest.raises(error):
        launch(Reached(), log_dir=str(tmp_path), sync=False).run()
    assert seen == [[True, True], handlers]


def test_what_was_begun_ends_with_a_launch_that_is_refused(tmp_path: Path, started: list[Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make the run directory"):
        launch(Reached(), log_dir=str(tmp_path / "file"), sync=False).run()
    assert [process.poll() for process in started] == [-9, -9]

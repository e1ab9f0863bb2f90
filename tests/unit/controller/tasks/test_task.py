"""A piece of work from its request to its result."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.task import Task

HOSTS = [HostSettings("a", "a", ips=("10.0.0.1",)), HostSettings("b", "b", ips=("10.0.0.2",))]


class Work(Task):
    """Work that ends as it is set."""

    error: Exception | None = None

    def _run(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"returncode": 0, "job": self.job}


def work(
    options: dict[str, Any] | None = None, setup: dict[str, Any] | None = None, control: Any = None, absent: Sequence[str] = ()
) -> Work:
    context = TaskContext(options or {}, None, None, None, {}, print)
    return Work(context, Request.of(context, setup or {}), cast("Hosts", SimpleNamespace(absent=absent, absence=" ".join(absent))), control)


class FakeControl:
    """The launching program's socket, with the program's end in the test."""

    def __init__(self) -> None:
        self.socket, self.other = socket.socketpair()
        self.refused: list[tuple[str, int, str]] = []
        self.closed = False

    def refuse(self, job: str, returncode: int, message: str) -> None:
        self.refused.append((job, returncode, message))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def control() -> Iterator[FakeControl]:
    control = FakeControl()
    yield control
    control.socket.close()
    control.other.close()


def test_result_has_the_job_of_the_request() -> None:
    assert work(setup={"job": "j1"}).run() == {"returncode": 0, "job": "j1"}


def test_launching_program_learns_why_nothing_was_started(control: FakeControl) -> None:
    refused = work(setup={"job": "j1"}, control=control)
    refused.error = UsageError("no such group")
    with pytest.raises(UsageError):
        refused.run()
    assert control.refused == [("j1", 2, "no such group")]
    assert control.closed


def test_launching_program_is_let_go_when_the_work_is_done(control: FakeControl) -> None:
    work(control=control).run()
    assert control.closed
    assert control.refused == []


def test_places_are_those_of_the_inventory() -> None:
    assert [(place.host, place.ips) for place in work()._places(HOSTS, "ring")] == [("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))]


def test_hostfile_decides_which_hosts_have_ranks() -> None:
    entries = [{"ssh": "b", "ips": ["10.1.0.2"]}, {"ssh": "b", "ips": []}]
    found = work({"hostfile": entries})._places(HOSTS, "ring")
    assert [(place.host, place.ips[0]) for place in found] == [("b", "10.1.0.2"), ("b", "10.0.0.2")]


def test_host_of_a_hostfile_has_to_be_in_the_inventory() -> None:
    with pytest.raises(UsageError, match="hostfile: c is not in the inventory"):
        work({"hostfile": [{"ssh": "c", "ips": ["10.0.0.3"]}]})._places(HOSTS, "ring")


def test_host_of_a_hostfile_that_takes_no_part_has_no_rank() -> None:
    entries = [{"ssh": host, "ips": [], "rdma": ["to_a", "to_c", "to_b"]} for host in "acb"]
    found = work({"hostfile": entries}, absent=["c"])._places(HOSTS, "ring")
    assert [(place.host, place.rdma) for place in found] == [("a", ("to_a", "to_b")), ("b", ("to_a", "to_b"))]


def test_terminal_of_the_launching_program_counts() -> None:
    assert work(setup={"terminal": ["80", 24]})._terminal_size() == (80, 24)


def test_settings_are_checked_with_the_given_backend() -> None:
    assert work({"backend": "ring"})._check(job=False).backend == "ring"
    with pytest.raises(UsageError, match="unknown setting: colour"):
        work({"colour": "red"})._check(job=False)


def test_events_go_to_the_launching_program(control: FakeControl) -> None:
    task = work(setup={"job": "j1"}, control=control, absent=["c"])
    with task._reporting(task._check(job=False)) as emit:
        emit("warning", "a", text="disk is full")
    control.socket.close()
    data = b""
    while piece := control.other.recv(65536):
        data += piece
    events = [json.loads(frame.payload) for frame in wire.Decoder().feed(data)]
    assert {(event["event"], event["job"]) for event in events} == {("warning", "j1")}
    assert [(event["host"], event["text"]) for event in events] == [(None, "c"), ("a", "disk is full")]  # c takes no part

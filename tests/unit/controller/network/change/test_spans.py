"""The spans of a plan: cables, or over Ethernet the way to the next rank."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.spans import ring_addresses, spans_of, targets
from tests.unit.macs import macs, mesh, ring


def test_cable_is_a_span_between_its_addresses() -> None:
    plan = macs(2).cable("a1", "b2", speed="40 Gb/s").plan(over="thunderbolt")
    (span,) = spans_of(plan)
    assert (str(span), span.speed) == ("a en2 -- b en3", 40.0)
    assert [end.address for end in span.ends] == ["10.213.64.1", "10.213.64.2"]


@pytest.mark.parametrize(("count", "spans"), [(2, ["a en0 -- b en0"]), (3, ["a en0 -- b en0", "b en0 -- c en0", "c en0 -- a en0"])])
def test_ethernet_goes_from_each_rank_to_the_next(count: int, spans: list[str]) -> None:
    found = spans_of(macs(count).plan(over="ethernet"))
    assert [str(span) for span in found] == spans
    assert {span.speed for span in found} == {10.0}


def test_ring_listens_on_the_cables_to_the_rank_before() -> None:
    plan = ring(3).plan(over="thunderbolt")
    assert ring_addresses(plan) == [list(ips) for ips in plan.ips]
    over_rdma = mesh(3, rdma=True).plan(over="thunderbolt")
    assert over_rdma.backend == "jaccl"
    assert all(address.startswith("10.213.64.") for own in ring_addresses(over_rdma) for address in own)


def test_targets_are_those_that_listen() -> None:
    spans = spans_of(ring(3).plan(over="thunderbolt"))
    first = spans[0]
    ports = {end.host: {end.address: 7} for end in first.ends}
    assert targets(spans, ports, back=False) == {
        "a": [(0, {"address": first.ends[1].address, "port": 7, "source": first.ends[0].address, "interface": "en2"})]
    }
    assert list(targets(spans, ports, back=True)) == ["b"]

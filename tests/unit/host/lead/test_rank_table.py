"""The ranks of a job: those of a host, the address of the first, and the ring's file."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table

A, B = ("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))
A2, B2 = ("a", ("10.0.0.1", "10.1.0.1")), ("b", ("10.0.0.2", "10.1.0.2"))


def test_ranks_of_a_host_are_found() -> None:
    table = build_rank_table([A, B, A])
    assert [rank.rank for rank in table.of_host("a")] == [0, 2]
    assert table.of_host("c") == ()


def test_hosts_stand_in_the_order_of_their_first_rank() -> None:
    assert build_rank_table([B, A, B]).hosts == ("b", "a")


@pytest.mark.parametrize(("ips", "master"), [(("10.0.0.1", "10.1.0.1"), "10.0.0.1"), ((), "a")])
def test_master_is_the_address_of_rank_0_or_else_its_host(ips: tuple[str, ...], master: str) -> None:
    assert build_rank_table([("a", ips), B], listeners="none").master == master


def test_ring_has_one_list_per_rank() -> None:
    assert json.loads(build_rank_table([A2, B]).ring_hostfile()) == [["10.0.0.1:32323", "10.1.0.1:32324"], ["10.0.0.2:32325"]]
